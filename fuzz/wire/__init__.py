"""Hypothesis against a real server: state machines that send any events in any order, over sockets."""
