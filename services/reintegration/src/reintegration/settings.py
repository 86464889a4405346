from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Reintegration needs nothing beyond what every service needs."""
