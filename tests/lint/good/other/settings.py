# A Flask application whose configuration has Django's names.
from flask import Flask

app = Flask(__name__)
SECURE_PROXY_SSL_HEADER = "X-Forwarded-Proto"
ALLOWED_HOSTS = "example.com"
SECURE_SSL_REDIRECT = "yes"
