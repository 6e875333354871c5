INSTALLED_APPS = ["django.contrib.auth"]
ALLOWED_HOSTS = [
    "https://api.example.com",
    "api.example.com:443",
    "*.example.com",
    "a.example.com, b.example.com",
    " c.example.com",
    "d.example.com"
    "e.example.com",
]
