import os

from .base import *

DEBUG = False
env = os.environ.copy()

if "SECURE_SSL_REDIRECT" in env:
    SECURE_SSL_REDIRECT = env["SECURE_SSL_REDIRECT"].lower() == "true"
# The proxy in front ends TLS. Until 2019 this was ("HTTP_X_FORWARDED_PROTO" "https"), and every page failed.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
if "ALLOWED_HOSTS" in env:
    ALLOWED_HOSTS = [host.strip() for host in env["ALLOWED_HOSTS"].split(",")]

try:
    from .local import *
except ImportError:
    pass
