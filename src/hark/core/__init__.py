"""The vocabulary that every floor above speaks: frozen records without behaviour."""
