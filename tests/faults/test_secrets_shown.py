# SPDX-License-Identifier: MIT
"""Secrets that must not be seen: keys with white space or worse around them, what libraries say of them, and secrets on
command lines, which a model is sent first.

Shown elsewhere: that every event, error and warning is redacted (tests/contract/test_secrecy.py); with the real
program, keys with line ends or quotes, damaged keys, services that quote a key, passwords in addresses
(tests/cli/test_secrets_and_failures.py); tokens of vendors and named fields
(tests/integration/test_redaction_corpus.py).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from autotune.errors import PlannerError
from autotune.planner.claude import credentials
from autotune.redact import Redactor
from autotune.secrecy import known_secrets

NOBODY = Redactor({})
SECRET = "Zq7hunter"

# --- keys ------------------------------------------------------------------------------------------------

KEY = "sk-live-" + "a1B2c3D4" * 5
"""Of no form that the redaction knows."""
AROUND = (
    *("{}\n", "{}\r", "{}\r\n", "\t{}\t", "  {}  ", "{}\v\f", "\u00a0{}\u00a0", "\ufeff{}", "{}\u200b", "\u2060{}"),
    *("'{}'", '"{}"', "'{}\n'", '" {} "\r\n', "\ufeff'{}'\u00a0\n"),
)


@pytest.mark.parametrize("around", AROUND, ids=ascii)
def test_a_key_with_something_unseen_around_it_is_taken_and_shown_nowhere(around: str) -> None:
    given = around.format(KEY)
    environ = {credentials.KEY: given}
    found = credentials.require("auto", Path("/nowhere"), environ)
    assert found.api_key == KEY
    for said in (KEY, given, repr(given), f"Illegal header value {given.encode()!r}", f"b'Bearer {KEY}\\n'"):
        assert KEY not in Redactor(environ).text(said)


@pytest.mark.parametrize("inside", ["\n", "\r", "\t", "\x1b", "\x7f", "\u00a0", "\ufeff", "\u00e9", " "], ids=ascii)
def test_a_key_that_is_broken_inside_is_refused_and_neither_half_is_shown(inside: str) -> None:
    halves = KEY[:24], KEY[24:]
    environ = {credentials.KEY: inside.join(halves)}
    with pytest.raises(PlannerError) as refused:
        credentials.require("auto", Path("/nowhere"), environ)
    said = f"{refused.value} {environ[credentials.KEY]!r} {halves[0]} and {halves[1]}"
    assert not any(half in Redactor(environ).text(said) for half in halves)


@pytest.mark.parametrize("line", ["{}={}\r\n", 'export {}="{}"\r\n', "{} = {} \t\r\n", '{}="\\t{}\\r\\n"'])
def test_a_key_in_a_file_with_line_ends_of_windows_is_taken_and_shown_nowhere(line: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(line.format(credentials.KEY, KEY).encode())
    assert credentials.require("claude", tmp_path, {}).api_key == KEY
    assert KEY not in Redactor(known_secrets(tmp_path, {})).text(f"Illegal header value b'Bearer {KEY}\\r'")


# --- command lines ---------------------------------------------------------------------------------------

WITH_SECRETS = r"""
mysql -pSECRET root
mysql -u root -pSECRET -e 'select 1'
mysqldump --password=SECRET db
mysql --password SECRET
mariadb -p'SECRET' x
curl -u user:SECRET https://h/x
curl -uuser:SECRET https://h/x
curl --user user:SECRET https://h
curl --user=user:SECRET https://h
curl -U user:SECRET https://h
curl --proxy-user u:SECRET https://h
curl -sSu user:SECRET https://h
curl -H 'Authorization: SECRET' https://h
curl -H 'Authorization: Bearer SECRET' h
curl -H "X-Auth: SECRET" h
curl -d 'password=SECRET&x=1' h
curl --oauth2-bearer SECRET h
sshpass -p SECRET ssh h
sshpass -pSECRET ssh h
redis-cli -a SECRET ping
redis-cli -h h -a SECRET
PGPASSWORD=SECRET psql x
REDISCLI_AUTH=SECRET redis-cli ping
docker login -u u -p SECRET r
docker login --password SECRET r
podman login -p SECRET
openssl enc -passin pass:SECRET -in x
openssl enc -aes256 -k SECRET -in x
openssl enc -K SECRET
git clone https://user:SECRET@h/x
ansible all --extra-vars 'ansible_password=SECRET'
ansible-playbook -e "db_password=SECRET" x.yml
ansible-playbook -e '{"password": "SECRET"}' x
aws configure set aws_secret_access_key SECRET
mongosh -u a -p SECRET
mongosh --password SECRET
mongo -pSECRET
mongosh mongodb://u:SECRET@h
ldapsearch -x -D cn=a -w SECRET -b dc=x
smbclient //h/s -U user%SECRET
smbclient -Uuser%SECRET //h/s
mount -t cifs -o username=u,password=SECRET //h/s /m
wget --password=SECRET https://h
wget --http-password=SECRET h
http -a user:SECRET GET h
psql postgresql://u:SECRET@h/db
psql 'host=h password=SECRET'
rclone copy --sftp-pass SECRET a b
restic -r r --password-command 'echo SECRET' backup
RESTIC_PASSWORD=SECRET restic backup
7z a -pSECRET x.7z
7za x -pSECRET y
zip -P SECRET x.zip a
zip -PSECRET x.zip a
unzip -P SECRET x.zip
unzip -PSECRET x.zip
gpg --passphrase SECRET -d x
gpg --batch --passphrase=SECRET -d x
rabbitmqctl add_user me SECRET
rabbitmqctl change_password me SECRET
rabbitmqadmin -u a -p SECRET list
kubectl create secret generic x --from-literal=password=SECRET
kubectl create secret generic x --from-literal=foo=SECRET
kubectl --token SECRET get
kubectl create secret docker-registry r --docker-password=SECRET
vault login SECRET
vault kv put secret/x foo=SECRET
vault write auth/userpass/login/me password=SECRET
heroku config:set API_KEY=SECRET
heroku config:set FOO=SECRET
echo password: SECRET
echo "password: SECRET"
printf 'password: %s' SECRET
echo password SECRET
rar a -hpSECRET x
unrar x -pSECRET y.rar
xfreerdp /u:me /p:SECRET /v:h
sqlcmd -S h -U sa -P SECRET
sqlplus scott/SECRET@db
nmcli device wifi connect S password SECRET
wpa_passphrase ssid SECRET
htpasswd -b f me SECRET
htpasswd -bn me SECRET
chpasswd <<< 'me:SECRET'
echo 'me:SECRET' | chpasswd
echo SECRET | sudo -S make
echo SECRET | docker login --password-stdin
keytool -storepass SECRET
jarsigner -storepass SECRET
lftp -u user,SECRET h
ftp ftp://u:SECRET@h
ncftpput -u me -p SECRET h
hg clone https://u:SECRET@h/
npm config set //r/:_authToken SECRET
npm login --password SECRET
pip install --index-url https://u:SECRET@h/simple x
twine upload -u u -p SECRET dist/*
gh auth login --with-token <<< SECRET
glab auth login -t SECRET
cargo login SECRET
helm repo add --username u --password SECRET x y
az login -u u -p SECRET
az login --service-principal -u a -p SECRET --tenant t
gcloud auth login --access-token SECRET
doctl auth init -t SECRET
influx -username u -password SECRET
influx -t SECRET
cqlsh -u u -p SECRET
clickhouse-client --password SECRET
pg_dump "postgres://u:SECRET@h/x"
isql -U sa -P SECRET
bcp x -U sa -P SECRET
mc alias set x https://h KEY SECRET
s3cmd --secret_key=SECRET ls
ipmitool -H h -U u -P SECRET chassis
snmpget -v3 -A SECRET -X SECRET h
snmpget -v2c -c SECRET h
rsync --password-file=x a rsync://u:SECRET@h/m
borg create ssh://u:SECRET@h/x
cryptsetup --key-file - <<< SECRET
steghide embed -p SECRET
pdftk a output b user_pw SECRET
qpdf --encrypt SECRET SECRET 256 -- a b
sudo -S <<< SECRET make
ssh-keygen -N SECRET -f k
ssh-keygen -P SECRET -p -f k
ansible-vault encrypt_string SECRET --name x
oc login -u u -p SECRET
az storage --account-key SECRET
terraform apply -var db_password=SECRET
terraform apply -var 'token=SECRET'
docker run -e DB_PASSWORD=SECRET x
docker run -e MYSQL_ROOT_PASSWORD=SECRET x
docker build --build-arg TOKEN=SECRET .
export TOKEN=SECRET
env TOKEN=SECRET make
wrk -H 'Authorization: SECRET' http://h
ab -A user:SECRET http://h/
hey -a user:SECRET http://h
wrk -H 'X-Api-Key: SECRET' h
siege --header='Authorization: SECRET' h
oha -a user:SECRET h
sysbench --mysql-password=SECRET oltp run
sysbench --pgsql-password=SECRET x run
pgbench -U u postgresql://u:SECRET@h
redis-benchmark -a SECRET -n 100
memtier_benchmark -a SECRET -s h
memtier_benchmark --authenticate=user:SECRET
locust --web-auth user:SECRET --headless
nats pub --password SECRET
kafkacat -X sasl.password=SECRET
mqttx -P SECRET
mosquitto_pub -h h -u u -P SECRET -t x -m y
mysql -h h -uroot -pSECRET
mysqladmin -pSECRET ping
mysqlslap -pSECRET -c 4
sudo mysql -pSECRET x
/usr/bin/mysql -pSECRET x
time mysql -pSECRET x
A=1 mysql -pSECRET x
sh -c 'mysql -pSECRET x'
sh -c "mysql -pSECRET x"
cd x && mysql -pSECRET x
(mysql -pSECRET x)
$(mysql -pSECRET x)
ls | redis-cli -a SECRET
xargs -n1 curl -u me:SECRET
docker exec c mysql -pSECRET x
ssh h mysql -pSECRET x
mysql -u root --password='SECRET' root
mysql "-pSECRET" root
mysql '-pSECRET' root
nice -n 5 mysql -pSECRET root
env A=1 mysql -u root \
  -pSECRET root
subprocess.run(["mysql", "-pSECRET", "root"])
execve("/usr/bin/mysql", ["mysql", "-uroot", "-pSECRET", "root"], 0x7ffd /* 20 vars */) = 0
CMD ["redis-cli", "-a", "SECRET"]
{"command": "curl -u \"me:SECRET\" https://example.org"}
+ curl -sS -u me:SECRET https://example.org
curl -u 'me:SECRET with spaces' https://example.org
curl -u me:SECRET:SECRET https://example.org
docker login -u mysql -p SECRET
sshpass -p SECRET ssh -p 22 me@example.org
mysql -pSECRET x; mysql -pSECRET y && curl -u a:SECRET z | redis-cli -a SECRET
mysql -p$(cat file) x; mysql -pSECRET y
bash -lc "cd /x && curl -u 'me:SECRET' h"
zip -rP SECRET x.zip dir
curl -fsSLu me:SECRET https://example.org
openssl enc -aes-256-cbc -pass pass:SECRET -in x
curl -H 'PRIVATE-TOKEN: SECRET' x
curl -b "session=SECRET" x
curl --data-urlencode "user_pwd=SECRET" x
redis-cli AUTH SECRET
redis-cli -h h auth user SECRET
redis-cli --pass SECRET
rclone obscure SECRET
rclone config create x sftp pass SECRET
aws ssm put-parameter --name x --value SECRET --type SecureString
mount -t cifs //h/s /m -o user=u,pass=SECRET
./bench --pass=SECRET
ssh h "mysql -pSECRET x"
docker exec -e MYSQL_PWD=SECRET db mysql
java -Djavax.net.ssl.keyStorePassword=SECRET -jar x
""".strip()

WITHOUT = r"""
mkdir -p dir/sub
make -p -n
cp -p a b
tar -xpf a.tar -C /x
tar -p -xf x
ssh -p 22 me@host make
scp -P 22 a h:b
nc -u host 53
sort -u file
sort -u -t: -k2 file
curl -u user https://h
curl -sSfL -o x https://h/x
curl -u $USER:$PW https://h
curl -u "$USER:$PW" https://h
curl -u ${U}:${P} h
curl -U me h
mysql -u root -p root
mysql -p
mysql -P 3306 -h db
mysql -p$PW x
mysql -p"$PW" x
mysqldump -p x > y
redis-cli -p 6379 ping
redis-cli -h db ping
redis-benchmark -n 100000 -c 50
docker run -p 8080:80 nginx
docker run -p8080:80 -u 1000:1000 x
docker run --name mysql -p3306:3306 mysql:8
docker-compose -p name up
docker login registry.example.org
podman run -p 80:80 x
sshpass -e ssh -p 22 h
sshpass -f file ssh -p 2222 h
unzip -p a.zip file
zip -r x.zip dir
zip -9rq x.zip dir
7z a x.7z dir
7z x x.7z -oout
gpg --batch -d x
openssl speed -evp aes-128-cbc
openssl enc -aes-256-cbc -pass env:PW
openssl enc -pass file:x
ldapsearch -x -b dc=x -s base
ldapsearch -x -W -D cn=a
smbclient -L host -U user
wget -p https://h/
wget -qO- https://h
http GET example.org a:b
http -p Hh h
psql -p 5432 -U me db
psql postgresql://u@h/db
restic -p pwfile -r r backup
rclone sync -P a b
git clone https://example.org/x.git
git commit -p
git push -u origin main
git log -p -u
git config user.name Me
git config credential.helper store
ansible-playbook -u me -e version=1.2 site.yml
kubectl get pods -l app=x
kubectl create secret generic x --from-file=y
kubectl logs -p pod
vault status
vault login -method=oidc
vault login failed
vault kv get secret/x
heroku logs -p web
heroku config:get FOO
az webapp create -g g -p plan -n n
aws s3 cp a s3://b/c
aws configure list
gh secret set NAME
gh auth login
gh auth token
gcloud secrets create x
npm install -p x
npm config set registry https://r
pip install -U x
pip install -r requirements.txt
cargo build -p crate
cargo login
cargo test -p x
perf stat -p 123 -e cycles
perf record -p 1
ab -n 100 -c 10 http://h/
ab -A user http://h
hey -n 100 -a 5 http://h
wrk -t2 -c10 -d5s http://h
ps -p 1 -o comm
pgrep -u me
sudo -u me make
sudo -S make
su - me -c 'make -p'
install -p -m 644 a b
rsync -avP a h:b
python -u x.py
gcc -p -o x x.c
pytest -p no:cacheprovider
nginx -p /x
htop -p 1,2
taskset -p 1
useradd -m me
ssh-keygen -t ed25519 -N '' -f k
ssh-keygen -N "" -f k
keytool -list -keystore x
echo hello | sort -u
echo done | tee x
echo "Password: "
echo 'password:'
echo password: $PW
echo "Enter password: " && read p
echo "password: required"
echo PW | grep x
printf 'password: %s' "$PW"
cat x | docker login --password-stdin
echo "$PW" | sudo -S make
lftp -u user h
hydra -l x -P list.txt h
apt-get install -y mysql-server -p x
grep -r curl -u src
which mysql redis-cli
man 1 mysql
mysqladmin ping
sqlplus / as sysdba
sqlplus me
net use
the net -U flag
influx -precision ns
influx -port 8086
steghide info x
snmpget -v 3 h
mc alias list
mc cp a b
cqlsh -u u host
doctl auth init
bench.sh -p 3
./mysql.sh -pfoo
xmysql -pfoo
mysql.server -pfoo
curl -H 'Content-Type: application/json' -d a=b x
curl -H 'X-Request-Id: abc' -F file=@x h
wrk -H 'Accept: a' -t2 h
rclone copy pass x:
redis-cli get auth
gcc --pass=2 x
ffmpeg -i x -pass 2 y
test pass 3 of 4
""".strip()


@pytest.mark.parametrize("line", WITH_SECRETS.replace("\\\n", "\0").splitlines())
def test_a_secret_on_a_command_line_is_removed_and_nothing_else(line: str) -> None:
    given = line.replace("\0", "\\\n").replace("SECRET", SECRET)
    shown = NOBODY.text(given)
    assert SECRET not in shown
    assert NOBODY.text(shown) == shown
    kept = [word for word in given.split() if SECRET not in word]
    assert [word for word in kept if word not in shown][2:] == [], shown  # of a quoted secret with spaces


@pytest.mark.parametrize("line", WITHOUT.splitlines())
def test_a_command_line_without_a_secret_stays_as_it_is(line: str) -> None:
    assert NOBODY.text(line) == line
