// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { unitOfPath } from "./unit-path.ts";

const id = "3f4e5d6c7b8a99887766554433221100ffeeddccbbaa00112233445566778899";
const short = "3f4e5d6c7b8a";
const uid = "6a8f2d3c-1b2e-4c3d-9e8f-0a1b2c3d4e5f";
const uidUnderscored = uid.replaceAll("-", "_");

describe("unitOfPath", () => {
  it.each([
    // root
    ["/", ""],
    ["", ""],
    ["/../..", ""],
    // systemd
    ["/system.slice/nginx.service", "nginx.service"],
    ["/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"],
    ["/system.slice/system-postgresql.slice/postgresql@15-main.service", "postgresql@15-main.service"],
    ["/system.slice/ssh.service", "ssh.service"],
    ["/system.slice/docker.service", "docker.service"],
    ["/system.slice/dbus.socket", "dbus.socket"],
    ["/system.slice/systemd-udevd.service/udev", "systemd-udevd.service"],
    ["/system.slice/cups\\x2dbrowsed.service", "cups-browsed.service"],
    ["/system.slice/dev-disk-by\\x2duuid.swap", "dev-disk-by-uuid.swap"],
    ["/init.scope", "init.scope"],
    ["/user.slice/user-1000.slice/session-3.scope", "session-3.scope"],
    ["/user.slice/user-0.slice/session-c12.scope", "session-c12.scope"],
    ["/user.slice/user-1000.slice/user@1000.service/init.scope", "user@1000.service/init.scope"],
    ["/user.slice/user-1000.slice/user@1000.service", "user@1000.service"],
    ["/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-firefox-12345.scope", "user@1000.service/app-gnome-firefox.scope"],
    [
      "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.gnome.Terminal.slice/vte-spawn-0c1d2e3f.scope",
      "user@1000.service/vte-spawn-0c1d2e3f.scope",
    ],
    ["/user.slice/user-1000.slice/user@1000.service/session.slice/pipewire.service", "user@1000.service/pipewire.service"],
    [
      "/user.slice/user-1000.slice/user@1000.service/app.slice/app-flatpak@0123456789abcdef0123456789abcdef.service",
      "user@1000.service/app-flatpak@.service",
    ],
    ["/system.slice", "system.slice"],
    ["/machine.slice", "machine.slice"],
    // docker
    [`/docker/${id}`, `docker/${short}`],
    [`/system.slice/docker-${id}.scope`, `docker/${short}`],
    [`/docker/${id}/system.slice/nginx.service`, `docker/${short}`],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${id}.scope`, `docker/${short}`],
    [`/docker/${"a".repeat(64)}/docker/${id}`, `docker/${short}`],
    // podman
    [`/machine.slice/libpod-${id}.scope`, `podman/${short}`],
    [`/machine.slice/libpod-${id}.scope/container`, `podman/${short}`],
    [`/machine.slice/libpod-conmon-${id}.scope`, `podman/${short}`],
    [`/libpod_parent/libpod-${id}`, `podman/${short}`],
    [`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`, `podman/${short}`],
    [`/machine.slice/machine-libpod_pod_${"b".repeat(64)}.slice/libpod-${id}.scope`, `podman/${short}`],
    // Kubernetes: systemd driver with containerd, CRI-O, docker; cgroupfs driver; static pods
    [`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uidUnderscored}.slice/cri-containerd-${id}.scope`, `k8s/${uid}/${short}`],
    [`/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${uidUnderscored}.slice/crio-${id}.scope`, `k8s/${uid}/${short}`],
    [`/kubepods.slice/kubepods-pod${uidUnderscored}.slice/docker-${id}.scope`, `k8s/${uid}/${short}`],
    [`/kubepods/burstable/pod${uid}/${id}`, `k8s/${uid}/${short}`],
    [`/kubepods/pod${uid}/${id}`, `k8s/${uid}/${short}`],
    [`/kubepods/besteffort/pod${uid.replaceAll("-", "")}/${id}`, `k8s/${uid.replaceAll("-", "")}/${short}`],
    [
      `/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${uidUnderscored}.slice/cri-containerd-${id}.scope`,
      `k8s/${uid}/${short}`,
    ],
    [`/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${uidUnderscored}.slice`, `k8s/${uid}`],
    [`/system.slice/containerd.service/kubepods-burstable-pod${uidUnderscored}.slice:cri-containerd:${id}`, `k8s/${uid}/${short}`],
    [`/system.slice:docker:${id}`, `docker/${short}`],
    [`/docker/${"c".repeat(64)}/kubelet/kubepods/burstable/pod${uid}/${id}`, `k8s/${uid}/${short}`],
    // others
    [`/ecs/0123456789abcdef0123456789abcdef/${id}`, `ecs/${short}`],
    [`/default/${id}`, `container/${short}`],
    ["/lxc.payload.web1", "lxc/web1"],
    ["/lxc/web1", "/lxc/web1"],
    ["/machine.slice/machine-debian\\x2d12.scope", "machine/debian-12"],
    ["/machine.slice/systemd-nspawn@web.service/payload", "machine/web"],
    ["/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "machine/qemu-1-vm"],
    ["/process_api/f0861a2861ea33d326a9d258ff877ce0", "/process_api/f0861a2861ea33d326a9d258ff877ce0"],
    ["/my-group", "/my-group"],
    // what only looks alike
    [`/system.slice/backup-${id}.service`, `backup-${id}.service`],
    ["/docker", "/docker"],
    ["/system.slice/docker-registry.service", "docker-registry.service"],
  ])("%s is %s", (path, unit) => {
    expect(unitOfPath(path)).toBe(unit);
  });
});
