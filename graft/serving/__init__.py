"""`graft serve`: a page on this machine that asks a release what a picture shows, and the JSON API behind it.

answers.py   a picture's bytes to labels, probabilities and maps: LiteRT alone
server.py    who may connect, how many at once, for how long
requests.py  one request: what is asked, and what goes wrong, as JSON
checks.py    who may ask, what for, how much
wire.py      headers, and reading that ends in time
page.py      the page as one text, and the policy that lets nothing else run in it
browser.py   what a browser needs to run the file itself; runtime.py fetches it
"""
