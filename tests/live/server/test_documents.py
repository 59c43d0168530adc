"""Documents hold when they are followed: each command block is typed by root on a copy of this machine."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.command_blocks import CHECKOUT, Block, commands, unfenced
from tests.live.programs.command_blocks import blocks as blocks_of
from tests.live.programs.installed import needs
from tests.live.programs.sandbox import type_blocks, why_not

# docs/user-guide.md shows settings of other mail programs in indented blocks, beside its commands.
DOCUMENTS: Final = [
    "README.md",
    "CONTRIBUTING.md",
    "certs/README.md",
    "benchmarks/crash/README.md",
    *(f"docs/{path.name}" for path in sorted((CHECKOUT / "docs").glob("*.md")) if path.name != "user-guide.md"),
]
# A certificate for mail.example.org as certbot leaves one, from an authority that this machine trusts.
CERTIFICATE: Final = r"""
(
  cd /root
  printf 'hostname = "mail.example.org"\n' > ca.toml
  command emailsys certs init --state "$HOME/ca" --config ca.toml
  lineage=/etc/letsencrypt/live/mail.example.org
  mkdir -p "$lineage"
  install -m 600 ca/certs/server-ecdsa.key "$lineage/privkey.pem"
  cat ca/certs/server-ecdsa.pem ca/certs/ca.pem > "$lineage/fullchain.pem"
  cp ca/certs/ca.pem /usr/local/share/ca-certificates/example.crt
  update-ca-certificates > /dev/null 2>&1
)
"""
ACCOUNTS: Final = """
printf 'bob@example.org correct horse battery\\ncarol@example.org another password\\n' > accounts.txt
"""
OLD_MAIL: Final = r"""
mkdir -p /srv/old/alice/Maildir/cur /srv/old/alice/Maildir/new
for name in cur/1 cur/2 new/3; do
  printf 'From: old@elsewhere.example\nSubject: %s\n\n.A dot, and a line.\n' "$name" > "/srv/old/alice/Maildir/$name"
done
"""
# A password that is wrong, by both protocols, before fail2ban reads the log.
GUESSES: Final = r"""
for url in smtp://localhost:587 pop3://localhost:110; do
  curl --silent --insecure --ssl-reqd --user alice@example.org:guess "$url" || true
done
"""
# The machine is a new one: its daemon has no store, and mail waits.
LOSS: Final = "systemctl stop emailsys; rm -r /var/lib/emailsys; systemctl start emailsys"
# A daemon in another terminal.
START: Final = r"""
useradd --system emailsys
sed -i 's/^#\(hostname\|user\|group\) /\1 /' /etc/emailsys/emailsys.toml
emailsys serve
"""
PASSWORDS: Final = r"""
echo 'correct horse battery' > bob.password
echo 'dave@example.org correct horse battery' > accounts.txt
printf '#!/bin/sh\necho another password\n' > /usr/local/bin/pass
chmod +x /usr/local/bin/pass
"""
MESSAGE: Final = r"""
printf 'Subject: x\n\nA line.\n' | curl --silent --crlf --mail-from '<>' --mail-rcpt alice@example.org \
    --upload-file - smtp://localhost:25
"""
DECLARED: Final = r"""
printf '[[aliases]]\nname = "info@example.org"\ntargets = ["alice@example.org"]\n' > mail.toml
"""
SCANNER: Final = "echo 'correct horse battery' | emailsys user add scanner@example.org --password-stdin"
# A second account, and a certificate that this machine trusts.
TRUST: Final = r"""
echo 'correct horse battery' | emailsys user add bob@example.org --password-stdin
cp /var/lib/emailsys/certs/ca.pem /usr/local/share/ca-certificates/example.crt
update-ca-certificates > /dev/null 2>&1
"""
# A server with two accounts and a message for alice, on this machine.
USER: Final = rf"""
useradd --system emailsys
mkdir -p /etc/emailsys && emailsys config example | sed 's/^#user /user /' > /etc/emailsys/emailsys.toml
emailsys serve
emailsys domain add example.org --postmaster alice@example.org
for name in alice bob; do
  echo 'correct horse battery' | emailsys user add "$name@example.org" --password-stdin
done
{MESSAGE}
cp /var/lib/emailsys/certs/ca.pem /usr/local/share/ca-certificates/example.crt
update-ca-certificates > /dev/null 2>&1
echo '# Report' > report.md
echo 'A file.' > report.pdf
mkdir -p Downloads
"""
# A rule of alice's, in the file of her accounts.
RULE: Final = r'[[accounts."alice@example.org".rules]]\nsubject = "Report"\nfolder = "Lists"\n'


def run(document: str) -> list[Block]:
    """The blocks of a document that a test types."""
    return [block for block in commands(document) if not block.reason]


def first(blocks: list[Block], words: str) -> int:
    """The index of the first block with these words."""
    return next(index for index, block in enumerate(blocks) if words in block.text)


class DocumentTests(SynchronousTestCase):
    """One test for each document."""

    if why_not():
        skip = why_not()

    @needs("nft", "logrotate", "fail2ban-regex", "sqlite3", "swaks", "curl")
    def test_the_guide_to_deploying(self) -> None:
        """From the firewall to uninstalling; what the commands print is looked at where the text tells of it."""
        blocks = run("docs/deploying.md")
        restoring = first(blocks, "systemctl stop emailsys")
        before = {
            first(blocks, "RENEWED_LINEAGE=/etc"): CERTIFICATE,
            first(blocks, "fail2ban-regex"): GUESSES,
            restoring: LOSS,
            first(blocks, "accounts.txt"): ACCOUNTS,
            first(blocks, "/srv/old/alice"): OLD_MAIL,
        }
        printed = type_blocks(blocks, before)
        self.assertRegex(printed, r"Lines: \d+ lines, 0 ignored, 2 matched")
        self.assertRegex(printed, r"(?m)^bob@example\.org +yes +0")
        restored = printed[printed.index(f"@@@ docs/deploying.md:{blocks[restoring].line}") :]
        self.assertRegex(restored, r"(?m)^ +2  in a maildrop$")

    @needs("sqlite3", "curl")
    def test_the_reference_of_operation(self) -> None:
        """Each block finds what the blocks before it have made."""
        blocks = run("docs/operations.md")
        before = {
            0: "cd /srv/sandbox/source",
            first(blocks, "emailsys reload --check"): START,
            first(blocks, "bob.password"): PASSWORDS,
            first(blocks, "emailsys apply"): DECLARED,
            first(blocks, "may-send-as"): SCANNER,
            first(blocks, "emailsys trace"): MESSAGE,
            first(blocks, "VACUUM"): "mkdir /backup",
        }
        printed = type_blocks(blocks, before)
        self.assertIn("no flaws found", printed)

    def test_the_development_certificates(self) -> None:
        """Everything is made by the first command."""
        install = "python3 -m venv certs && . certs/bin/activate && pip install -q /srv/sandbox/source"
        self.assertIn("server-ecdsa", type_blocks(run("certs/README.md"), {0: install}))

    @needs("swaks", "curl", "jq")
    def test_the_readme(self) -> None:
        """In a clone, from the trial to the mail client."""
        blocks = run("README.md")
        before = {
            0: "git clone -q /srv/sandbox/source emailsys && cd emailsys",
            1: ". .venv/bin/activate",
            first(blocks, "emailsys mail account add"): TRUST,
        }
        # This machine has no keyring, which would keep the password that is typed.
        added = "emailsys mail account add alice@example.org"
        kept = f"{added} --password-command 'echo correct horse battery'"
        type_blocks(blocks, before, [(added, kept)])

    @needs("git")
    def test_the_user_guide(self) -> None:
        """The commands of the mail client, for a user of the server of this machine."""
        guide = "docs/user-guide.md"
        texts = [block.text for block in run(guide)] + unfenced(guide)
        blocks = [
            Block(guide, 0, "sh", text, "") for text in texts if re.search(r"(?m)^(emailsys|echo|git|systemctl) ", text)
        ]
        self.assertGreater(len(blocks), 3)
        install = "python3 -m venv guide && . guide/bin/activate && pip install -q /srv/sandbox/source"
        added = "emailsys mail account add alice@example.org"
        replace = [
            (added, f"{added} --password-command 'echo correct horse battery'"),
            # The system of `emailsys try` is another document's; here its place is taken by the daemon.
            ("alice@example.test --ask", "bob@example.org --password-command 'echo correct horse battery'"),
            ("CA.PEM", "/var/lib/emailsys/certs/ca.pem"),
            ("localhost:2995", "localhost:995"),
            ("localhost:2587", "localhost:587"),
            # Nobody here has a mailing list, and the daemon takes no message in another's name.
            ("support@example.org", "alice@example.org || [ $? = 69 ]"),
            (" --list", " --list || [ $? = 65 ]"),
            ("unsubscribe KEY", "unsubscribe KEY || [ $? = 65 ]"),
            ("KEY", "$(emailsys mail search --keys 'subject:Report' | head -n 1)"),
            # What is typed in an editor.
            ("template write offer", "template write offer --stdin <<< 'About {project}.'"),
            ("emailsys mail compose", "EDITOR=true emailsys mail compose"),
            # It goes on until Ctrl-C.
            (
                "emailsys mail fetch --watch --every 30",
                "timeout 5 emailsys mail fetch --watch --every 30 || [ $? = 124 ]",
            ),
            # Accounts that are here, in place of those of the example.
            ("ann@example.org ben@example.org", "alice@example.org bob@example.org"),
            # What systemd writes down says that it fetches.
            (
                "systemctl --user enable --now emailsys-mail",
                "systemctl --user enable --now emailsys-mail; cut -dP -f1 ~/.journal;"
                " systemctl --user stop emailsys-mail",
            ),
            (
                "emailsys mail rules list",
                f"printf '{RULE}' >> .config/emailsys/mail.toml\nemailsys mail rules list",
            ),
        ]
        printed = type_blocks(blocks, {0: f"{install}\n{USER}"}, replace)
        self.assertIn("Watching alice@example.org, bob@example.org.", printed)

    @needs("gpg", "jq")
    def test_the_page_about_encryption(self) -> None:
        """With a key for each account, which gpg makes."""
        blocks = run("docs/encryption.md")
        install = "python3 -m venv guide && . guide/bin/activate && pip install -q /srv/sandbox/source"
        accounts = r"""
for name in alice bob; do
  emailsys mail account add "$name@example.org" --password-command 'echo correct horse battery' \
    --pop3 localhost:995 --smtp localhost:587 --ca-file /var/lib/emailsys/certs/ca.pem
  gpg --batch --quiet --passphrase '' --quick-gen-key "$name@example.org" default default never
done
emailsys mail send alice@example.org -a bob@example.org -s Plan -m 'The plan.' -A report.pdf --sign --encrypt
echo 'A letter.' > letter
emailsys mail fetch
"""
        key = "$(emailsys mail search --keys folder:Inbox | head -n 1)"
        printed = type_blocks(blocks, {0: f"{install}\n{USER}\n{accounts}"}, [("KEY", key)])
        for words in ("The plan.", '"good"', "Downloads/report.pdf", "The message is signed and encrypted."):
            self.assertIn(words, printed)

    @needs("curl", "jq")
    def test_the_pages_about_the_web_and_the_wire(self) -> None:
        """The HTTP API with a token, the way of a message, and its tree."""
        blocks = [block for page in ("web", "api", "wire") for block in run(f"docs/{page}.md")]
        install = "python3 -m venv guide && . guide/bin/activate && pip install -q /srv/sandbox/source"
        account = r"""
emailsys mail account add alice@example.org --password-command 'echo correct horse battery' \
  --pop3 localhost:995 --smtp localhost:587 --ca-file /var/lib/emailsys/certs/ca.pem
emailsys mail fetch
printf 'Subject: x\n\nA line.\n' > message.eml
ID=$(emailsys trace alice@example.org --json | jq -r '.[0].queue_id')
"""
        token = "$(emailsys token add alice@example.org --scope mail:read --scope mail:send --json | jq -r .secret)"
        before = {
            0: f"{install}\nexport EMAILSYS_WEB__LISTEN=localhost:8080\n{USER}",
            first(blocks, "curl"): f"SECRET={token}",
            first(blocks, "emailsys trace"): account,
        }
        replace = [
            ("Bearer TOKEN", "Bearer $SECRET"),
            # No program sends a message here.
            ("timeout=60", "timeout=1"),
            ("QUEUE_ID", '"$ID"'),
            ("KEY", "$(emailsys mail search --keys folder:Inbox | head -n 1)"),
        ]
        printed = type_blocks(blocks, before, replace)
        for words in ("http://127.0.0.1:8080/system/once/", '"subject": "x"', "the page is flow.html"):
            self.assertIn(words, printed)

    def test_each_block_that_is_not_run_has_a_reason(self) -> None:
        """A handful of blocks at most."""
        marked = {
            (document, block.text.split()[0]): block.reason
            for document in DOCUMENTS
            for block in commands(document)
            if block.reason
        }
        self.assertEqual(
            marked,
            {
                ("README.md", "python3"): ".ci/run runs this line, and it takes minutes",
                ("CONTRIBUTING.md", "git"): "the address is an example, and .ci/run does the same on a clean clone",
                ("CONTRIBUTING.md", "python3"): ".ci/run runs these lines",
                ("CONTRIBUTING.md", "pip"): "it changes the checkout",
                ("CONTRIBUTING.md", ".ci/at"): ".ci/run runs many tests by it",
                ("CONTRIBUTING.md", "sed"): "it makes a release",
                ("benchmarks/crash/README.md", ".venv/bin/python"): (
                    "each takes minutes; tests/live/server/test_crash.py and .ci/run make short runs"
                ),
                ("benchmarks/crash/README.md", "TMPDIR=/dev/shm"): "it takes an hour on a busy machine with two cores",
                ("docs/benchmarks.md", "emailsys"): "the hosts are examples; tests/live/server/test_bench.py runs it",
                ("docs/benchmarks.md", ".venv/bin/python"): "each is a load test; most take minutes",
                ("docs/containers.md", "docker"): (
                    "needs a container engine; tests/live/server/test_container.py runs the steps without one"
                ),
                ("docs/containers.md", "openssl"): "needs a container engine, and the image of PostgreSQL",
                ("docs/deploying.md", "certbot"): "a certificate authority must reach the machine by its public name",
                ("docs/lab.md", "emailsys"): "tests/live/lab runs each lesson",
                ("docs/operations.md", "emailsys"): "the host is an example",
                ("docs/operations.md", "openssl"): "the host is an example",
                ("docs/wire.md", "emailsys"): "the host is an example",
            },
        )

    def test_the_programs_that_are_not_run_exist(self) -> None:
        """The modules that `python -m` names in marked blocks."""
        named = {
            name
            for document in DOCUMENTS
            for block in commands(document)
            if block.reason
            for name in re.findall(r"python -m (\S+)", block.text)
        }
        self.assertGreater(len(named), 20)
        missing = [name for name in sorted(named) if find_spec(name) is None]
        self.assertEqual(missing, [])

    def test_no_block_escapes(self) -> None:
        """Commands stand in fences that are marked `sh`; an indented block would not be run."""
        for document in DOCUMENTS:
            self.assertEqual(unfenced(document), [], document)
            others = [block.text for block in blocks_of(document) if block.language != "sh"]
            self.assertEqual([text for text in others if re.search(r"(?m)^(?:\$ )?emailsys [a-z]", text)], [], document)
