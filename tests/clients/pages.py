"""The addresses that docs/recipes names, for those who do as a program does that has no code there."""

import re

from documents import page

ADDRESS = "127.0.0.1:8000"


def address(recipe, holding):
    """The one URL of the page with this in it."""
    urls = re.findall(rf"\b(?:http|ws)s?://{ADDRESS}[^\s`\"'|,;)]*", page(f"docs/recipes/{recipe}.md"))
    (url,) = {url for url in urls if holding in url}
    return url


def target(recipe, holding):
    """Its path and query, as a request names them."""
    return address(recipe, holding).partition(ADDRESS)[2]
