# usable
cd /usr
export LC_ALL=C LANG=xx_YY.nonsense
umask 077
