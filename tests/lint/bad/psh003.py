INSTALLED_APPS = ["django.contrib.auth"]
SECURE_PROXY_SSL_HEADER = (
    "HTTP_X_FORWARDED_PROTO"
    "https"
)
