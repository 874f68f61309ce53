"""The demo: a payment gateway's notifications over the real HTTP interface, and an account of every one of them."""
