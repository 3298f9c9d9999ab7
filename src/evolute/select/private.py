"""Personal data and secrets, found by libraries and shown masked; placeholders that documents use are neither.

Secrets: the patterns of detect-secrets. Telephone numbers: phonenumbers (Google's rules). IBAN, card and social
security numbers: the checksums of python-stdnum. Nothing here connects to anything: detect-secrets can ask a service
whether a secret works, and is never told to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import Any

from evolute.errors import MissingExtra
from evolute.records import Finding, Reason
from evolute.select.exchange import Exchange

# What each plugin's patterns need to see: looking for these first costs far less than the patterns.
_PLUGINS = {
    "aws.AWSKeyDetector": ("AKIA", "ASIA", "ABIA", "ACCA", "aws", "AWS"),
    "azure_storage_key.AzureStorageKeyDetector": ("AccountKey=",),
    "basic_auth.BasicAuthDetector": ("://",),
    "discord.DiscordBotTokenDetector": (),
    "github_token.GitHubTokenDetector": ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    "gitlab_token.GitLabTokenDetector": ("gl", "GR1348941"),
    "jwt.JwtTokenDetector": ("eyJ",),
    "mailchimp.MailchimpDetector": ("-us",),
    "npm.NpmDetector": ("_authToken",),
    "openai.OpenAIDetector": ("T3BlbkFJ",),
    "private_key.PrivateKeyDetector": ("PRIVATE KEY", "PuTTY-User-Key"),
    "pypi_token.PypiTokenDetector": ("pypi-",),
    "sendgrid.SendGridDetector": ("SG.",),
    "slack.SlackDetector": ("xox", "hooks.slack.com"),
    "square_oauth.SquareOAuthDetector": ("sq0csp",),
    "stripe.StripeDetector": ("k_live_",),
    "telegram_token.TelegramBotTokenDetector": (),
    "twilio.TwilioKeyDetector": (),
}
# Of these, the group in the pattern is the secret; of all others, the match is, and a group no more than its kind.
_IN_A_GROUP = frozenset({"AWS Access Key", "Basic Auth Credentials", "NPM tokens"})
# Patterns of detect-secrets that look through the rest of a line from each place in a text that loops, with a limit.
_LIMITED = {
    "JSON Web Token": re.compile(r"eyJ[A-Za-z0-9_=-]{1,2000}+\.[A-Za-z0-9_=-]++\.?"),
    "NPM tokens": re.compile(r"/:_authToken=\s*+(npm_\S+|[A-Fa-f0-9-]{36})"),
    "OpenAI Token": re.compile(r"sk-[A-Za-z0-9_-]{0,200}[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}"),
}
LONG_TOKEN = 20
"""Keys and tokens have at least so many characters without a space."""
_NOT_DIGITS = bytes(code for code in range(256) if code not in range(48, 58))
FEWEST_DIGITS = 9
"""Every number that is looked for has this many digits at least."""
# Keys that detect-secrets 1.5 does not know yet.
_NEWER = {
    "Google API Key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    "Hugging Face Token": re.compile(r"\bhf_[A-Za-z]{34}\b"),
    "Model API Key": re.compile(r"\bsk-(?:ant-|proj-|or-v1-)[A-Za-z0-9_-]{32,}|\bsk-[A-Za-z0-9]{48}\b"),
    "GitHub Token": re.compile(r"\bgithub_pat_[A-Za-z0-9_]{50,}"),
}
_NEWER_SIGNS = ("AIza", "hf_", "sk-", "github_pat_")
_PLACEHOLDER = re.compile(
    r"example|sample|placeholder|dummy|your|xxxx|\*{3}|\.{3}|<|\{|\$|12345|abcdef|qwerty|changeme|redacted|insert|secret|token|passw|pwd"
    r"|fake|test|demo|localhost|127\.0\.0\.1|0000|1111",
    re.IGNORECASE,
)
_KEY_BODY = re.compile(
    r"PRIVATE KEY(?: BLOCK)?-----(?:\s|\\n){1,4}+"
    r"(?:[\w-]{1,40}+: (?>.{1,80}?(?:\n|\\n))(?:\s|\\n){0,3}+){0,3}+[A-Za-z0-9+/=]{24}"
    r"|PuTTY-User-Key-File-2: \S"
)
_EMAIL = re.compile(r"(?<![\w.+-])([\w][\w.+-]{0,63})@((?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![\w@])")
_NOBODY = re.compile(
    r"(?:your|my|some|the|first|last|user|name|email|e-mail|mail|info|contact|support|sales|help|admin|office|hello|press|team|service|hr"
    r"|no-?reply|do-?not-?reply|someone|somebody|anyone|nobody|me|you|test|foo|bar|abc|xyz|alice|bob|john|jane|jdoe|a|b|x|user\w*"
    r"|customer\w*|example|sample|john\W?smith|(?:john|jane|j)\W?doe|(?:first|your)\W?\w*|recipient|sender|username|person\d*|employee\d*|webmaster|postmaster|git)\d*"
)
_NOWHERE = re.compile(
    r"(?:.*\.)?(?:example|test|invalid|localhost|local|internal)(?:\.\w+)*|(?:.*\.)?(?:\w*example\w*|your\w*|my\w*|some\w*|domain\w*|company\w*|email|mail|abc\w*|xyz\w*|foo|bar"
    r"|\w*company|website|server|host|acme\w*|\w*university|school|store|business\w*|organization|test\w*|sample\w*|site|address|\w*placeholder\w*)\.(?:com|org|net|edu|co|io)(?:\.\w\w)?"
)
# Looking behind comes after the first character: a pattern that begins with one is searched for far faster.
_DIGITS = re.compile(r"[+(\d](?<![\w.,$€£/=-].)(?:[\s().-]{0,2}\d){8,18}(?![\w%]|[.,]\d)")
_US_PHONE = re.compile(r"\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}|1[ .-]\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}")
_SSN = re.compile(r"\d(?<![\w-].)\d{2}-\d{2}-\d{4}(?![\w-])")
_IBAN = re.compile(r"[A-Z](?<!\w.)[A-Z]\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
_CARD = re.compile(r"[3-6]\d{3}([ -]?)\d{4}\1\d{4}\1\d{3,4}|3\d{3}([ -]?)\d{6}\2\d{5}")
_OF_CARDS = re.compile(r"\b(?:card|visa|master-?card|amex|american\s+express|credit|debit|cvv)\b", re.IGNORECASE)
# Numbers that banks, card networks and the law give as examples.
_EXAMPLES = frozenset(
    """4111111111111111 4242424242424242 4012888888881881 4222222222222 5555555555554444 5105105105105100
    378282246310005 371449635398431 378734493671000 6011111111111117 6011000990139424 3530111333300000 3566002020360505
    4000056655665556 5200828282828210 2223003122003222 30569309025904 38520000023237 4532015112830366 4539578763621486
    GB82WEST12345698765432 GB29NWBK60161331926819 GB33BUKB20201555555555 DE89370400440532013000
    FR1420041010050500013M02606 FR7630006000011234567890189 NL91ABNA0417164300 ES9121000418450200051332
    BE68539007547034 CH9300762011623852957 IT60X0542811101000000123456 AT611904300234573201
    078051120 219099999 123456789 987654321""".split()  # noqa: SIM905
)
_Found = tuple[Reason, str, str]


def private_data() -> Callable[[Exchange], Iterator[Finding]]:
    """The rule that finds personal data and secrets in all the texts of a row.

    Its evidence is the kind, the text it stands in, how many there are, and the first one masked.

    Raises:
        MissingExtra: the `select` extra is not installed.
    """
    secrets = _secret_finder()
    numbers = _number_finder()

    def rule(exchange: Exchange) -> Iterator[Finding]:
        for place, text in _texts(exchange):
            kinds: dict[tuple[Reason, str], list[str]] = {}
            for reason, kind, value in _find(text, secrets, numbers):
                kinds.setdefault((reason, kind), []).append(value)
            for (reason, kind), values in kinds.items():
                yield Finding(reason, {"kind": kind, "in": place, "count": len(values), "masked": values[0]})

    return rule


def _texts(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """All that a row would publish, with where it stands."""
    row = exchange.row
    yield from (("instruction", row.instruction), ("input", row.input), ("response", exchange.response))
    yield from (("system", row.system), ("reasoning", row.reasoning or ""))
    yield from (("history", turn.content) for turn in row.history)


def _find(
    text: str, secrets: Callable[[str], Iterator[_Found]], numbers: Callable[[str], Iterator[_Found]]
) -> Iterator[_Found]:
    if not text:
        return
    if (
        "PRIVATE KEY" in text
        or "PuTTY" in text
        or max(map(len, text.split()), default=0) >= LONG_TOKEN
        or "://" in text
    ):
        yield from secrets(text)
    if "@" in text:
        yield from _emails(text)
    if len(text.encode("utf-8", "surrogatepass").translate(None, _NOT_DIGITS)) >= FEWEST_DIGITS:
        yield from numbers(text)


def _emails(text: str) -> Iterator[_Found]:
    for found in _EMAIL.finditer(text):
        if "://" in text[max(0, found.start() - 60) : found.start()].rpartition(" ")[2]:
            continue  # a name and password before a host
        name, domain = found[1].lower(), found[2].lower()
        if not _NOBODY.fullmatch(name) and not _NOWHERE.fullmatch(domain) and not _PLACEHOLDER.search(found[0]):
            yield Reason.PERSONAL_DATA, "email address", f"{name[0]}…@{domain[0]}….{domain.rpartition('.')[2]}"


def _secret_finder() -> Callable[[str], Iterator[_Found]]:
    plugins = []
    for name, signs in _PLUGINS.items():
        module, _, kind = name.partition(".")
        plugins.append((_imported(f"detect_secrets.plugins.{module}", kind)(), signs))

    def find(text: str) -> Iterator[_Found]:
        lines = [line for line in text.split("\n") if len(line) >= LONG_TOKEN]
        for plugin, signs in plugins:
            if signs and not any(sign in text for sign in signs):
                continue
            # In the order of the text, not of a set: the same row gives the same evidence in every process.
            for value in dict.fromkeys(value for line in lines for value in _matches(plugin, line)):
                if _is_secret(value, text):
                    yield Reason.SECRET, plugin.secret_type, _masked(value)
        if any(sign in text for sign in _NEWER_SIGNS):
            for kind, pattern in _NEWER.items():
                yield from (
                    (Reason.SECRET, kind, _masked(m[0])) for m in pattern.finditer(text) if _is_secret(m[0], text)
                )

    return find


def _matches(plugin: Any, line: str) -> Iterator[str]:  # noqa: ANN401 - untyped library
    """The secrets in a line. `analyze_string` would give any group in place of the match: "ghp" for a GitHub token."""
    kind = plugin.secret_type
    limited = _LIMITED.get(kind)
    for pattern in [limited] if limited else plugin.denylist:
        for found in pattern.finditer(line):
            value = found[(found.lastindex or 0) if kind in _IN_A_GROUP else 0]
            if kind != "JSON Web Token" or _is_json_token(plugin, value):
                yield value


def _is_json_token(plugin: Any, value: str) -> bool:  # noqa: ANN401 - untyped library
    try:
        return bool(plugin.is_formally_valid(value))
    except RecursionError:  # arrays within arrays: it reads what is in the token
        return False


def _is_secret(value: str, text: str) -> bool:
    """Whether it looks as if drawn by chance: not a word of a manual, not a form to fill in."""
    if "PRIVATE KEY" in value or "PuTTY" in value:
        return _KEY_BODY.search(text) is not None
    return len(set(value)) > min(8, len(value) // 2) and not _PLACEHOLDER.search(value)


def _masked(value: str) -> str:
    return f"{value[:3]}… ({len(value)} characters)" if len(value) >= 16 else f"… ({len(value)} characters)"


def _number_finder() -> Callable[[str], Iterator[_Found]]:
    iban, luhn, ssn = (_imported(f"stdnum.{name}", "is_valid") for name in ("iban", "luhn", "us.ssn"))
    parse, valid = _imported("phonenumbers", "parse"), _imported("phonenumbers", "is_valid_number")
    failed: Any = _imported("phonenumbers", "NumberParseException")
    kinds, kind_of = _imported("phonenumbers", "PhoneNumberType"), _imported("phonenumbers", "number_type")
    nobodys = {kinds.TOLL_FREE, kinds.SHARED_COST, kinds.PREMIUM_RATE, kinds.UAN}  # hotlines and firms

    def telephone(text: str) -> bool:
        international = text.startswith("+")
        if not international and not _US_PHONE.fullmatch(text):
            return False
        try:
            number = parse(text, None if international else "US")
        except failed:
            return False
        return valid(number) and kind_of(number) not in nobodys and not _is_made_up(re.sub(r"\D", "", text))

    def find(text: str) -> Iterator[_Found]:
        speaks_of_cards = cache(partial(_OF_CARDS.search, text))  # asked of each number, and of few texts
        for found in _DIGITS.finditer(text):
            value = found[0].strip()
            digits = re.sub(r"\D", "", value)
            if _CARD.fullmatch(value) and luhn(digits) and not _is_example(digits) and speaks_of_cards():
                yield Reason.PERSONAL_DATA, "card number", f"…{digits[-2:]}"
            elif telephone(value):
                yield Reason.PERSONAL_DATA, "telephone number", f"…{digits[-2:]}"
        for found in _SSN.finditer(text):
            if ssn(found[0]) and not _is_example(found[0].replace("-", "")):
                yield Reason.PERSONAL_DATA, "US social security number", f"…{found[0][-2:]}"
        for found in _IBAN.finditer(text):
            if iban(found[0]) and not _is_example(found[0].replace(" ", "")):
                yield Reason.PERSONAL_DATA, "IBAN", f"{found[0][:2]}…{found[0][-2:]}"

    return find


def _is_example(number: str) -> bool:
    return number in _EXAMPLES or len(set(number)) <= 4 or "12345678" in number


def _is_made_up(digits: str) -> bool:
    """Film numbers (555), digits in a row, and numbers of three digits or fewer different ones."""
    return (
        "555" in digits
        or len(set(digits)) <= 3
        or any(run in digits for run in ("1234", "4567", "5678", "9876", "0000"))
    )


def _imported(module: str, name: str) -> Any:  # noqa: ANN401 - untyped libraries
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as missing:
        raise MissingExtra("looking for personal data and secrets", "select") from missing
