# SPDX-License-Identifier: MIT
"""The table of programs that take secrets on their command lines, and in which words.

A form shows the words. SECRET is removed; of USER:SECRET and the like, only what follows the separator. Before it
stands its option, or the sub-commands that must precede it; then, in capitals, the words between: LAST for all but the
last word, KEY for a word that is itself a secret's name (also before a separator). WORD is a SECRET that is taken only
when it has a digit, since its sub-command is an ordinary word too.

An option whose name says that it takes a secret (`--password`) needs no entry: `assignments` knows it everywhere.
"""

from __future__ import annotations

import re

from autotune.frozen import dataclass

_TABLE = {
    # databases
    "mysql mysqldump mysqladmin mysqlslap mysqlimport mysqlshow mysqlcheck mysqlbinlog mysqlpump mysqlsh": "-pSECRET",
    "mariadb mariadb-dump mariadb-admin mariadb-slap mariadb-import mariadb-check mariadb-show": "-pSECRET",
    "mycli xtrabackup mariabackup innobackupex mydumper myloader": "-pSECRET",
    "mydumper myloader couchbase-cli cqlsh": "-p SECRET",
    "mongo mongosh mongodump mongorestore mongoexport mongoimport mongostat mongotop": "-p SECRET; -pSECRET",
    "redis-cli redis-benchmark valkey-cli valkey-benchmark keydb-cli": "-a SECRET; auth SECRET; auth NAME SECRET",
    "memtier_benchmark": "-a SECRET; --authenticate SECRET; --authenticate USER:SECRET",
    "sqlcmd isql tsql bcp osql cbc cbbackupmgr": "-P SECRET; -PSECRET",
    "sqlplus sqlldr expdp impdp rman sqlcl": "USER/SECRET@HOST; USER/SECRET",
    "influx": "-password SECRET; -p SECRET; -t SECRET",
    "nodetool": "-pw SECRET",
    "ldapsearch ldapadd ldapmodify ldapdelete ldapwhoami ldapcompare ldapmodrdn": "-w SECRET; -wSECRET",
    "ldappasswd": "-w SECRET; -wSECRET; -s SECRET; -a SECRET",
    # the web
    "curl": "-u USER:SECRET; -uUSER:SECRET; --user USER:SECRET; -U USER:SECRET; -UUSER:SECRET; "
    "--proxy-user USER:SECRET; --oauth2-bearer SECRET; --pass SECRET; --proxy-pass SECRET; -E FILE:SECRET; "
    "--cert FILE:SECRET",
    "http https httpie xh xhs": "-a USER:SECRET; -aUSER:SECRET; --auth USER:SECRET",
    "ab hey oha bombardier siege": "-A USER:SECRET; -P USER:SECRET; -a USER:SECRET",
    "curl http https xh wrk wrk2 hey ab oha siege bombardier": "-H KEY:SECRET; --header KEY:SECRET",
    "curl wget": "-d KEY=SECRET; --data KEY=SECRET; --data-raw KEY=SECRET; --data-urlencode KEY=SECRET; "
    "-F KEY=SECRET; --form KEY=SECRET; --post-data KEY=SECRET; -b NAME=SECRET; --cookie NAME=SECRET",
    "wget": "--header KEY:SECRET",
    "locust": "--web-auth USER:SECRET",
    "aria2c": "--http-passwd SECRET; --ftp-passwd SECRET; --rpc-secret SECRET",
    "lftp": "-u USER,SECRET; -uUSER,SECRET; --user USER,SECRET",
    "ncftp ncftpput ncftpget wput twine": "-p SECRET",
    "mosquitto_pub mosquitto_sub mosquitto_rr mqttx": "-P SECRET",
    "swaks": "-ap SECRET",
    # remote hosts
    "sshpass": "-p SECRET; -pSECRET",
    "ssh-keygen": "-N SECRET; -P SECRET; -NSECRET; -PSECRET",
    "plink pscp psftp": "-pw SECRET",
    "smbclient smbmap rpcclient smbget smbcacls net winexe": "-U USER%SECRET; -UUSER%SECRET; --user USER%SECRET",
    "xfreerdp xfreerdp3 wlfreerdp": "/p:SECRET",
    "rdesktop psexec evil-winrm crackmapexec netexec hydra medusa": "-p SECRET",
    "ipmitool": "-P SECRET",
    "snmpget snmpwalk snmpset snmpbulkwalk snmpgetnext": "-c SECRET; -A SECRET; -X SECRET",
    "vncviewer x11vnc": "-passwd SECRET; -viewpasswd SECRET",
    # containers and clouds
    "docker podman nerdctl buildah skopeo crane oras regctl": "login -p SECRET; login -pSECRET; --creds USER:SECRET; "
    "--src-creds USER:SECRET; --dest-creds USER:SECRET",
    "kubectl oc": "--from-literal NAME=SECRET; login -p SECRET",
    "helm": "registry login -p SECRET",
    "aws awslocal gcloud git npm pnpm yarn pip pip3 poetry": "KEY SECRET",
    "aws awslocal": "put-parameter --value SECRET",
    "rclone": "obscure SECRET; create pass SECRET; KEY SECRET",
    "nmcli": "KEY SECRET; wifi-sec.psk SECRET",
    "glab gitea tea doctl hcloud fly flyctl": "login -t SECRET; init -t SECRET",
    "az": "login -p SECRET",
    "cargo": "login WORD",
    "vault bao": "login WORD; write NAME=SECRET; kv put NAME=SECRET; kv patch NAME=SECRET; unseal WORD",
    "heroku": "config:set NAME=SECRET; config:add NAME=SECRET",
    "fly flyctl supabase wrangler": "secrets set NAME=SECRET",
    "mc": "alias set NAME URL USER SECRET; config host add NAME URL USER SECRET",
    "etcdctl consul": "--user USER:SECRET; -http-auth USER:SECRET",
    "rabbitmqctl": "add_user NAME SECRET; change_password NAME SECRET; authenticate_user NAME SECRET",
    "rabbitmqadmin": "-p SECRET",
    # files
    "7z 7za 7zr 7zz unrar unar": "-pSECRET",
    "rar": "-pSECRET; -hpSECRET",
    "zip unzip zipcloak zipinfo": "-P SECRET; -PSECRET",
    "gpg gpg2": "--passphrase SECRET",
    "openssl": "-k SECRET; -K SECRET",
    "keytool jarsigner": "-storepass SECRET; -keypass SECRET; -srcstorepass SECRET; -deststorepass SECRET",
    "steghide": "-p SECRET",
    "pdftk": "user_pw SECRET; owner_pw SECRET; input_pw SECRET",
    "qpdf": "--encrypt SECRET; --encrypt USER SECRET",
    "pdftotext pdftoppm pdfinfo pdfimages": "-upw SECRET; -opw SECRET",
    "ansible-vault": "encrypt_string SECRET",
    # this machine
    "htpasswd": "-b LAST SECRET",
    "useradd usermod": "-p SECRET",
    "wpa_passphrase": "NAME SECRET",
}

CLUSTERED = frozenset(["curl", "zip", "unzip", "smbclient", "htpasswd", "ldapsearch"])
"""Programs that take several short options in one word: `curl -sSu me:SECRET`."""

WRAPPERS = frozenset({"sshpass"})
"""Programs whose own options end with the first other word, a command of its own."""

READS_SECRET = re.compile(
    r"--password-stdin|--passphrase-fd|--with-token|--stdin\b|\bsudo\b[^|;\n]{0,80}[ \t]-\w{0,8}S\b|"
    r"\b(?:s?chpasswd|passwd|kinit|smbpasswd|cryptsetup|secrets? (?:create|set))\b"
)
"""Commands that read a secret from standard input."""


@dataclass(frozen=True)
class Form:
    """Place of a secret: behind `option`, in the same word when `glued`, or behind the sub-commands `needs`; then
    behind the words `between`. It begins behind `separator` and ends at `end`."""

    option: str = ""
    glued: bool = False
    needs: tuple[str, ...] = ()
    between: tuple[str, ...] = ()
    separator: str = ""
    end: str = ""
    of_key: bool = False
    """What precedes the separator must be a secret's name."""
    only_with_digits: bool = False


_SHAPE = re.compile(
    r"(?P<glued>-[A-Z]|[^A-Z]*)(?:(?P<label>[A-Z]+)(?P<separator>[:%,/=]))?(?P<what>SECRET|WORD)(?P<end>@HOST)?"
)


def _form(text: str) -> Form:
    *words, last = text.split()
    shape = _SHAPE.fullmatch(last)
    assert shape is not None, text
    options = [word for word in words if word.startswith("-")]
    return Form(
        option=shape["glued"] or "".join(options),
        glued=bool(shape["glued"]),
        needs=tuple(word for word in words if not word.isupper() and word not in options),
        between=tuple(word for word in words if word.isupper() and word not in options),
        separator=shape["separator"] or "",
        end="@" if shape["end"] else "",
        of_key=shape["label"] == "KEY",
        only_with_digits=shape["what"] == "WORD",
    )


def _forms() -> dict[str, tuple[Form, ...]]:
    found: dict[str, tuple[Form, ...]] = {}
    for names, forms in _TABLE.items():
        for name in names.split():
            found[name] = (*found.get(name, ()), *map(_form, forms.split(";")))
    return found


PROGRAMS = _forms()
"""The forms of each program."""
