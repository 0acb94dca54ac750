"""jaxmarks: dense facial landmarks, trained so that every step can be re-created and proved."""

__version__ = "0.1.0"
