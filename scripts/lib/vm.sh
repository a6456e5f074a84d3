# shellcheck shell=bash
# One real virtual machine, with a kernel, systemd and cloud-init of its own, under software emulation: the only place here
# where user-data is run by what runs it at a cloud. Sourced after layout.sh, steps.sh, ports.sh and packages.sh.

VM_SUITE=bookworm
VM_DISK=6G
# Debian's cloud images without what only helps people; nothing of ours, and no engine.
VM_PACKAGES=(systemd-sysv systemd-resolved dbus udev netplan.io iproute2 openssh-server sudo cloud-init cloud-guest-utils
  linux-image-cloud-amd64 initramfs-tools ca-certificates curl e2fsprogs)
# An address that the emulator answers itself, in the network that it gives every machine.
VM_GIVEN=10.0.2.100

# The folder of the image that belongs to these very lines and this machine's package source.
vm_image() {
  local inputs
  inputs=$({ printf '%s\n' "$VM_SUITE" "$VM_DISK" "${VM_PACKAGES[@]}" "$(debian_mirror)" && declare -f vm_make; } | sha256sum)
  printf '%s/vm-%s' "$BYOP_CACHE" "${inputs:0:16}"
}

# Made from packages, kept whole or not at all; older ones go.
vm_make() { # IMAGE
  local new
  new=$(new_folder vm)
  mkdir "$new/image"
  # Its mounts end with it, whatever ends it: the folder may be removed at any time.
  unshare -m mmdebstrap -q --variant=minbase --format=directory --include="${VM_PACKAGES[*]}" \
    --aptopt='Apt::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='echo "127.0.0.1 localhost" >"$1/etc/hosts"; echo LANG=C.UTF-8 >"$1/etc/default/locale"' \
    --customize-hook='echo "datasource_list: [NoCloud, None]" >"$1/etc/cloud/cloud.cfg.d/99-seed.cfg"' \
    "$VM_SUITE" "$new/root" "$(debian_mirror)" >"$(log_file vm-image)" 2>&1 || die "mmdebstrap failed, see $(log_file vm-image)"
  cp "$new"/root/boot/vmlinuz-* "$new/image/kernel"
  cp "$new"/root/boot/initrd.img-* "$new/image/initrd"
  # cloud-init itself, for its checks outside of the machine: installed, it would run at this machine's next start.
  cp -r "$new/root/usr/lib/python3/dist-packages" "$new/image/python"
  truncate -s "$VM_DISK" "$new/image/disk"
  mke2fs -q -t ext4 -L root -d "$new/root" "$new/image/disk"
  rm -rf "$BYOP_CACHE"/vm-*
  mv -T "$new/image" "$1" 2>/dev/null || [ -d "$1" ] || die "could not keep $1"
  rm -rf "$new"
}

# What cloud-init's own schema says; 0 when it has nothing against the file.
vm_schema() { # IMAGE FILE
  PYTHONPATH=$1/python PYTHONDONTWRITEBYTECODE=1 python3 -m cloudinit.cmd.main schema --config-file "$2"
}

# A relay from the emulator's end of a connection to a real address.
vm_relay() { # FILE
  cat >"$1" <<'RELAY'
#!/bin/bash
exec 3<>"/dev/tcp/$1/$2" 4<&0 || exit
trap 'kill $(jobs -p) 2>/dev/null' EXIT
cat <&3 &
cat <&4 >&3 &
wait -n
RELAY
  chmod 755 "$1"
}

# vm_start IMAGE SEED PORT LIMIT [GIVEN...]: reached by SSH on a port of loopback, and reaching nothing but what is given to
# it as `PORT:COMMAND`. Changes of its disk are forgotten with it.
vm_start() {
  local image=$1 seed=$2 port=$3 limit=$4 given net
  shift 4
  net=user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22
  for given in "$@"; do net+=",guestfwd=tcp:$VM_GIVEN:${given%%:*}-cmd:${given#*:}"; done
  spawn vm timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 1536 -smp 2 -nodefaults \
    -display none -serial stdio -kernel "$image/kernel" -initrd "$image/initrd" \
    -append "root=/dev/vda rw console=ttyS0" -device virtio-rng-pci \
    -drive "file=$image/disk,format=raw,if=virtio,snapshot=on" -drive "file=$seed,format=raw,if=virtio,readonly=on" \
    -netdev "$net" -device virtio-net-pci,netdev=net,romfile=
}
