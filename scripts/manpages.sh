#!/usr/bin/env bash
# Real multilingual text: Debian's translated man pages, unpacked under DIR/man/<lang>/ without installing anything.
# usage: scripts/manpages.sh DIR [LANG ...]     (default: every language that Debian has)
set -euo pipefail
dir=${1:?usage: scripts/manpages.sh DIR [LANG ...]}; shift || true
langs=("$@")
[ ${#langs[@]} -gt 0 ] || langs=(cs da de el es fi fr hu id it ja mk nb nl pl pt-br ro ru sr sv tr uk vi zh)
mkdir -p "$dir/deb" "$dir/root"
cd "$dir/deb"
for lang in "${langs[@]}"; do
  for package in "manpages-$lang" "manpages-$lang-dev"; do
    apt-cache show "$package" >/dev/null 2>&1 || continue
    compgen -G "${package}_*.deb" >/dev/null || apt-get download -q "$package"
  done
done
cd ..
for deb in deb/*.deb; do dpkg -x "$deb" root; done
rm -rf man && ln -s root/usr/share/man man
echo "$(find -L man -name '*.gz' | wc -l) man pages under $dir/man"
