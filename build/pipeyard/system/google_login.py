"""The message for missing or refused Google credentials."""


def problem(error: Exception) -> str:
    """Returns what is wrong with this machine's credentials for Google, and what to do."""
    from google.auth.exceptions import RefreshError

    remedy = (
        "Run `gcloud auth application-default login`, or name a service account's key in "
        "$GOOGLE_APPLICATION_CREDENTIALS."
    )
    if isinstance(error, RefreshError):
        return (
            f"the credentials weren't taken ({said(error)}): they are revoked, or this machine's clock is off. {remedy}"
        )
    return f"no credentials ({said(error)}). {remedy}"


def said(error: Exception) -> str:
    """Returns what went wrong, without the server's answer that google-auth puts beside it: that may have tokens."""
    from google.auth.exceptions import GoogleAuthError

    return str(error.args[0]) if isinstance(error, GoogleAuthError) and error.args else str(error)
