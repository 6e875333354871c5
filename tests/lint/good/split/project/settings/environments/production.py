from decouple import config

DEBUG = False
ALLOWED_HOSTS = [
    config("DOMAIN_NAME"),
    # We need this value for `healthcheck` to work:
    "localhost",
]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
