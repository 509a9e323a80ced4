// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerNames } from "./container-names.ts";
import { containerOfPath } from "./unit-path.ts";

const id = "3f4e5d6c7b8a99887766554433221100ffeeddccbbaa00112233445566778899";
const short = id.slice(0, 12);
const uid = "6a8f2d3c-1b2e-4c3d-9e8f-0a1b2c3d4e5f";
const slice = `kubepods-burstable-pod${uid.replaceAll("-", "_")}.slice`;
const pathInPod = `/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${id}.scope`;

let root: string;
let nowMs = 0;
let names: ContainerNames;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "waggle-containers-"));
  chmodSync(root, 0o755);
  nowMs = 0;
  names = new ContainerNames({ hostRoot: root, clock: { elapsedMs: () => nowMs } });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function write(path: string, value: unknown): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), typeof value === "string" ? value : JSON.stringify(value));
}

function unitOf(path: string): string {
  const container = containerOfPath(path);
  if (container === undefined) throw new Error(`${path} is of no container`);
  return names.unitOf(container);
}

/** Runs something as a user without privileges, as which the agent runs. */
function unprivileged<T>(body: () => T): T {
  const user = process.geteuid?.();
  if (user === 0) process.seteuid?.(65_534);
  try {
    return body();
  } finally {
    if (user === 0) process.seteuid?.(0);
  }
}

describe("ContainerNames", () => {
  it("calls Docker's containers what docker ps does, of the daemon and of a user", () => {
    write(`var/lib/docker/containers/${id}/config.v2.json`, { ID: id, Name: "/web", State: { Running: true }, Config: { Hostname: "3f4e5d6c7b8a" } });
    expect(unitOf(`/system.slice/docker-${id}.scope`)).toBe("docker/web");
    const own = "ab".repeat(32);
    write(`home/ada/.local/share/docker/containers/${own}/config.v2.json`, { ID: own, Name: "/blog_db-1" });
    expect(unitOf(`/user.slice/user-1000.slice/user@1000.service/user.slice/docker-${own}.scope`)).toBe("docker/blog_db-1");
  });

  it("finds Podman's in the storage of root and of users, wherever their homes are", () => {
    const [rootful, rootless] = ["c".repeat(64), "d".repeat(64)];
    const entry = (of: string, name: string) => ({ id: of, names: [name], image: "e".repeat(64), layer: "f".repeat(64), metadata: "{}" });
    write("var/lib/containers/storage/overlay-containers/containers.json", [entry("9".repeat(64), "other"), entry(rootful, "cache")]);
    write("etc/passwd", "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/srv/people/ada:/bin/sh\n");
    write("srv/people/ada/.local/share/containers/storage/vfs-containers/containers.json", [entry(rootless, "notes")]);
    expect(unitOf(`/machine.slice/libpod-${rootful}.scope/container`)).toBe("podman/cache");
    expect(unitOf(`/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${rootless}.scope`)).toBe("podman/notes");
  });

  it("finds nerdctl's by the label that it gives to containerd, also where the group names no runtime", () => {
    write(`run/containerd/io.containerd.runtime.v2.task/default/${id}/config.json`, {
      ociVersion: "1.2.0",
      annotations: { "nerdctl/name": "proxy", "nerdctl/namespace": "default" },
    });
    expect(unitOf(`/default/${id}`)).toBe("nerdctl/proxy");
  });

  it("calls containers in pods by namespace, pod and container, out of the names of kubelet's links", () => {
    write(`var/log/containers/web-7d4b9c_shop_nginx-${id}.log`, "");
    write(`var/log/pods/shop_web-7d4b9c_${uid}/nginx/0.log`, "");
    expect(unitOf(pathInPod)).toBe("k8s/shop/web-7d4b9c/nginx");
    expect(unitOf(`/kubepods.slice/kubepods-burstable.slice/${slice}`)).toBe("k8s/shop/web-7d4b9c");
  });

  it("takes what a runtime was told where there is no log, and knows what only holds a pod together", () => {
    const annotate = (container: string, type: string) => ({
      annotations: {
        "io.kubernetes.cri.container-type": type,
        ...(type === "container" ? { "io.kubernetes.cri.container-name": container } : {}),
        "io.kubernetes.cri.sandbox-name": "web-7d4b9c",
        "io.kubernetes.cri.sandbox-namespace": "shop",
      },
    });
    const pause = "aa".repeat(32);
    write(`run/containerd/io.containerd.runtime.v2.task/k8s.io/${id}/config.json`, annotate("nginx", "container"));
    write(`run/containerd/io.containerd.runtime.v2.task/k8s.io/${pause}/config.json`, annotate("", "sandbox"));
    expect(unitOf(pathInPod)).toBe("k8s/shop/web-7d4b9c/nginx");
    expect(unitOf(pathInPod.replace(id, pause))).toBe("k8s/shop/web-7d4b9c");
    const crio = "bb".repeat(32);
    write(`run/containers/storage/overlay-containers/${crio}/userdata/config.json`, {
      annotations: {
        "io.kubernetes.cri-o.ContainerType": "container",
        "io.kubernetes.container.name": "sidecar",
        "io.kubernetes.pod.name": "web-7d4b9c",
        "io.kubernetes.pod.namespace": "shop",
      },
    });
    expect(unitOf(`/kubepods.slice/${slice}/crio-${crio}.scope`)).toBe("k8s/shop/web-7d4b9c/sidecar");
  });

  it("keeps the ids of what has no name, and looks again at growing intervals", () => {
    expect(unitOf(pathInPod)).toBe(`k8s/${uid}/${short}`);
    write(`var/log/pods/shop_web-7d4b9c_${uid}/nginx/0.log`, "");
    nowMs = 9_999;
    expect([...names.renames()]).toEqual([]);
    nowMs = 10_000;
    expect([...names.renames()]).toEqual([[`k8s/${uid}/${short}`, `k8s/shop/web-7d4b9c/${short}`]]);
    write(`var/log/containers/web-7d4b9c_shop_nginx-${id}.log`, "");
    nowMs = 29_999;
    expect([...names.renames()]).toEqual([]);
    nowMs = 30_000;
    expect([...names.renames()]).toEqual([[`k8s/shop/web-7d4b9c/${short}`, "k8s/shop/web-7d4b9c/nginx"]]);
    expect(unitOf(pathInPod)).toBe("k8s/shop/web-7d4b9c/nginx");
  });

  it("opens files of so many containers between two windows, and of the others later", () => {
    const ids = Array.from({ length: 100 }, (_, index) => index.toString(16).padStart(64, "0").split("").reverse().join(""));
    for (const of of ids) write(`var/lib/docker/containers/${of}/config.v2.json`, { ID: of, Name: `/n${of.slice(0, 2)}` });
    const units = ids.map((of) => unitOf(`/docker/${of}`));
    expect(units.filter((unit) => unit.startsWith("docker/n"))).toHaveLength(64);
    expect(names.renames().size).toBe(36);
  });

  it("takes nothing for a name that no runtime would give, and no word of a file of another id", () => {
    write(`var/lib/docker/containers/${id}/config.v2.json`, { ID: id, Name: "/a\nb" });
    expect(unitOf(`/docker/${id}`)).toBe(`docker/${short}`);
    const other = "cd".repeat(32);
    write(`var/lib/docker/containers/${other}/config.v2.json`, { ID: id, Name: "/web" });
    expect(unitOf(`/docker/${other}`)).toBe(`docker/${other.slice(0, 12)}`);
    const half = "ef".repeat(32);
    write(`var/lib/docker/containers/${half}/config.v2.json`, `{"ID":"${half}","Na`);
    expect(unitOf(`/docker/${half}`)).toBe(`docker/${half.slice(0, 12)}`);
  });

  it("says which capability would open what is closed, of runtimes that are on the host", () => {
    write(`var/log/containers/web_shop_nginx-${id}.log`, "");
    write(`var/lib/docker/containers/${id}/config.v2.json`, { ID: id, Name: "/web" });
    chmodSync(join(root, "var/lib/docker"), 0o700);
    unprivileged(() => {
      expect(unitOf(`/docker/${id}`)).toBe(`docker/${short}`);
      expect([...names.facts()]).toEqual([
        ["container_names:k8s", "readable"],
        ["container_names:docker", "denied: CAP_DAC_READ_SEARCH"],
      ]);
    });
    chmodSync(join(root, "var/lib/docker"), 0o755);
    nowMs = 10_000;
    expect([...names.renames()]).toEqual([[`docker/${short}`, "docker/web"]]);
    expect(names.facts().get("container_names:docker")).toBe("readable");
  });
});
