SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [
    # This is required for healthcheck to work:
    "^health/",
]
SECURE_HSTS_SECONDS = 518400
SESSION_COOKIE_SECURE = True
