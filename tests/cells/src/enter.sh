# Makes the cell and becomes its first process. In new namespaces of every kind, as root.
# $1 scratch folder, $2 this program, $3 agentd, $4 agentctl, $5 name of the case
set -eu
mount -t tmpfs -o mode=755 cell "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay cell -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mkdir -p proc sys dev run tmp opt/cell home .before
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount --rbind /dev dev
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount --bind dev/pts/ptmx dev/ptmx
for folder in run tmp opt home; do mount -t tmpfs -o mode=755 cell "$folder"; done
mkdir -p opt/cell/as opt/cell/init opt/cell/watch run/lock run/cloud-init run/systemd/system run/systemd/transient
chmod 1777 tmp opt/cell/as
touch opt/cell/part opt/cell/agentd opt/cell/agentctl run/cloud-init/result.json
mount --bind "$2" opt/cell/part
mount --bind "$3" opt/cell/agentd
mount --bind "$4" opt/cell/agentctl
# The disks are not the cell's, and whoever writes on the machine below would use it: they stand still.
cat proc/diskstats > tmp/diskstats
mount --bind tmp/diskstats proc/diskstats
# What the machine below has of schedules, units and users must not come into a case.
rm -rf etc/cron* var/spool/cron/* var/spool/at* etc/systemd/system/* etc/agentd var/lib/cloud
mkdir -p etc/cron.d var/spool/cron/crontabs var/lib/dpkg/info usr/lib/systemd/system
cat > etc/passwd <<'USERS'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
jenkins:x:114:114::/var/lib/jenkins:/bin/sh
_chrony:x:115:115::/var/lib/chrony:/usr/sbin/nologin
plex:x:998:998::/var/lib/plexmediaserver:/usr/sbin/nologin
alice:x:1000:1000::/home/alice:/bin/sh
node_exporter:x:1001:1001::/home/node_exporter:/bin/false
valheim:x:1002:1002::/home/valheim:/bin/sh
USERS
mkdir -p home/alice home/valheim root
chown 1000:1000 home/alice
for group in system.slice user.slice init.scope; do mkdir "sys/fs/cgroup/$group"; done
mkdir sys/fs/cgroup/system.slice/agentd.service
echo 0 > sys/fs/cgroup/init.scope/cgroup.procs
pivot_root . .before
umount -l /.before
cd /
ip link set lo up
# The first process reaps whatever loses its parent; the shell does that while it waits. It is called what the first
# process of a machine is called, and so is the program that watches the case, which is in its group.
ln -s /bin/sh opt/cell/init/systemd
ln -s ../part opt/cell/watch/systemd
export AGENTD_BIN=/opt/cell/start-agentd AGENTCTL_BIN=/opt/cell/agentctl
export CELL_PART="cell $5"
exec /opt/cell/init/systemd -c '/opt/cell/watch/systemd & unset CELL_PART; wait $!'
