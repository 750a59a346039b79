# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivers a notice as a mail. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import email.message
import email.policy
import email.utils
import smtplib
import socket
import ssl
from dataclasses import dataclass
from typing import Iterator, Sequence

from .delivery import Undelivered, of_network

STARTTLS, IMPLICIT, NONE = "starttls", "implicit", "none"
TLS = (STARTTLS, IMPLICIT, NONE)
PORTS = {STARTTLS: 587, IMPLICIT: 465, NONE: 25}


@dataclass(frozen=True)
class Mail:
    to: Sequence[str]
    sender: str
    host: str
    port: int
    tls: str = STARTTLS
    username: str = ""
    password: str = ""
    ca_file: str = ""

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"


def send(mail: Mail, subject: str, body: str, seconds: float) -> None:
    try:
        with _session(mail, seconds) as session:
            refused = session.send_message(_message(mail, subject, body), mail.sender, list(mail.to))
    except smtplib.SMTPAuthenticationError as error:
        raise Undelivered("status", f"{mail.where} refuses the user or the password ({error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(sorted({str(code) for code, _text in error.recipients.values()}))
        raise Undelivered("status", f"{mail.where} refuses every recipient ({codes})") from None
    except smtplib.SMTPResponseException as error:
        if error.smtp_code < 0:  # no number at the beginning of its line
            raise Undelivered("no_mail", f"{mail.where} does not answer as a mail server does") from None
        raise Undelivered("status", f"{mail.where} answered {error.smtp_code}") from None
    except smtplib.SMTPNotSupportedError:
        raise Undelivered("status", f"{mail.where} does not offer STARTTLS, or what else the mail needs") from None
    except smtplib.SMTPException as error:
        if isinstance(error.__context__, socket.timeout):
            raise Undelivered("timeout", f"{mail.where} did not answer within {seconds:g} s") from None
        raise Undelivered("no_mail", f"{mail.where} does not answer as a mail server does") from None
    except (OSError, ValueError) as error:
        failure = of_network(error, seconds)
        raise Undelivered(failure.code, f"{mail.where}: {failure.why}") from None
    if refused:
        raise Undelivered("status", f"{mail.where} refuses {len(refused)} of {len(mail.to)} recipients")


def _message(mail: Mail, subject: str, body: str) -> email.message.EmailMessage:
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = subject
    message["From"] = mail.sender
    message["To"] = ", ".join(mail.to)
    message["Date"] = email.utils.formatdate()
    message["Message-ID"] = email.utils.make_msgid(domain=mail.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # no holiday message answers it (RFC 3834)
    message.set_content(body)
    return message


@contextlib.contextmanager
def _session(mail: Mail, seconds: float) -> Iterator[smtplib.SMTP]:
    own = socket.gethostname()  # smtplib would ask the network for it
    context = ssl.create_default_context(cafile=mail.ca_file or None)
    if mail.tls == IMPLICIT:
        session: smtplib.SMTP = smtplib.SMTP_SSL(mail.host, mail.port, own, timeout=seconds, context=context)
    else:
        session = smtplib.SMTP(mail.host, mail.port, own, timeout=seconds)
    try:
        if mail.tls == STARTTLS:
            session.starttls(context=context)
        if mail.username:
            session.login(mail.username, mail.password)
        yield session
        with contextlib.suppress(smtplib.SMTPException, OSError):  # it has taken the mail already
            session.quit()
    finally:
        session.close()
