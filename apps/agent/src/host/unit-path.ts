// SPDX-License-Identifier: Apache-2.0

/** Container ids are 64 hex digits everywhere; people and `docker ps` use the first 12. */
const containerId = "([0-9a-f]{64})";
const shortIdLength = 12;

/** Scopes and cgroups that runtimes make for one container: the runtime's prefix, the id, `.scope` under systemd's cgroup driver. */
const scopePattern = new RegExp(`^(?:(docker|libpod|cri-containerd|crio|containerd|nerdctl)-)?(?:conmon-)?${containerId}(?:\\.scope)?$`);

const podPatterns = [
  // systemd driver: kubepods-burstable-pod6a8f2d3c_1b2e_4c3d_9e8f_0a1b2c3d4e5f.slice
  /^(?:[a-z]+-)*kubepods(?:-[a-z]+)*-pod([0-9a-f_]{32,36})\.slice$/,
  // cgroupfs driver: pod6a8f2d3c-1b2e-4c3d-9e8f-0a1b2c3d4e5f; static pods have 32 hex digits
  /^pod([0-9a-f-]{32,36})$/,
];

/** A container, or what belongs to a pod and to none of its containers, as far as the path of a control group tells. */
export interface Container {
  /** What it is called by its ids: `docker/0a1b2c3d4e5f`, `k8s/<pod uid>/<id12>`, `k8s/<pod uid>`, `lxc/<name>`. */
  readonly unit: string;
  /** The word before the first `/` of `unit`. */
  readonly runtime: string;
  /** 64 hex digits; absent where the path has a name instead, and of a pod. */
  readonly id?: string;
  /** Uid of the pod. */
  readonly pod?: string;
}

/**
 * Names the owner of a control group by its path: `nginx.service`, `docker/0a1b2c3d4e5f`, `k8s/<pod uid>/<id12>`, … Container first, then the
 * innermost systemd unit that is not a mere slice, then the path itself; the root group is the empty string.
 *
 * @param path as in /proc/<pid>/cgroup, or relative to the cgroup mount: starts with `/`, systemd's escapes included.
 */
export function unitOfPath(path: string): string {
  const parts = partsOf(path);
  if (parts.length === 0) return "";
  return containerOfParts(parts)?.unit ?? systemdUnit(parts) ?? `/${parts.join("/")}`;
}

/** The container or pod that the path is of; undefined: a systemd unit's, or a group that somebody made. */
export function containerOfPath(path: string): Container | undefined {
  return containerOfParts(partsOf(path));
}

function partsOf(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== "..");
}

function named(runtime: string, name: string): Container {
  return { unit: `${runtime}/${unescapeUnit(name)}`, runtime };
}

function containerOfParts(parts: readonly string[]): Container | undefined {
  // Innermost first: in Docker-in-Docker and kind, the inner container is the one that people started.
  for (let index = parts.length - 1; index >= 0; index--) {
    const part = parts[index] as string;
    const lxc = /^(?:lxc\.payload|lxc\.monitor|lxc)\.(.+)$/.exec(part)?.[1];
    if (lxc !== undefined) return named("lxc", lxc);
    const nspawn = /^machine-(.+)\.scope$/.exec(part)?.[1] ?? /^systemd-nspawn@(.+)\.service$/.exec(part)?.[1];
    if (nspawn !== undefined) return named("machine", nspawn);
    // containerd's own naming when runc makes no scope: <slice>:<prefix>:<id>
    const [name, prefix, slice] = part.split(":").reverse();
    const match = scopePattern.exec(name ?? "");
    const id = match?.[2];
    if (id === undefined) continue;
    const short = id.slice(0, shortIdLength);
    const before = slice === undefined ? parts.slice(0, index) : [...parts.slice(0, index), slice];
    const pod = podUid(before);
    if (pod !== undefined) return { unit: `k8s/${pod}/${short}`, runtime: "k8s", id, pod };
    const runtime = runtimeOf(match?.[1] ?? prefix, before);
    return { unit: `${runtime}/${short}`, runtime, id };
  }
  // A process in the pod's own group (the runtime's sandbox handling), not in a container of it.
  const pod = podUid(parts);
  return pod === undefined ? undefined : { unit: `k8s/${pod}`, runtime: "k8s", pod };
}

function podUid(parts: readonly string[]): string | undefined {
  for (const part of [...parts].reverse()) {
    for (const pattern of podPatterns) {
      const uid = pattern.exec(part)?.[1];
      if (uid !== undefined) return uid.replaceAll("_", "-");
    }
  }
  return undefined;
}

function runtimeOf(prefix: string | undefined, before: readonly string[]): string {
  if (
    prefix === "libpod" ||
    before.some((part) => part.startsWith("libpod_parent") || part.startsWith("user-libpod_pod") || part.startsWith("libpod"))
  )
    return "podman";
  if (prefix === "docker" || before.includes("docker")) return "docker";
  if (prefix === "crio") return "crio";
  if (prefix === "cri-containerd" || prefix === "containerd") return "containerd";
  if (prefix === "nerdctl" || before.includes("nerdctl")) return "nerdctl";
  // Amazon ECS: /ecs/<task>/<id>; anything else that names a group by 64 hex digits is a container of an unknown runtime.
  return before.includes("ecs") ? "ecs" : "container";
}

function systemdUnit(parts: readonly string[]): string | undefined {
  // Units under a user's manager mean nothing without the user: `user@1000.service/app-firefox-1234.scope`.
  const manager = parts.findIndex((part) => /^user@\d+\.service$/.test(part));
  const inner = parts.slice(manager + 1).findLast((part) => isUnit(part));
  if (manager >= 0) return inner === undefined ? parts[manager] : `${parts[manager]}/${unescapeUnit(stripInstance(inner))}`;
  if (inner !== undefined) return unescapeUnit(inner);
  return parts.findLast((part) => part.endsWith(".slice"));
}

function isUnit(part: string): boolean {
  return /\.(?:service|scope|socket|mount|swap)$/.test(part);
}

/** Desktops name a scope after the process that was started: `app-gnome-firefox-1234.scope` would be another unit after each start. */
function stripInstance(unit: string): string {
  return unit.replace(/-\d+\.scope$/, ".scope").replace(/@[0-9a-f]{32}\.service$/, "@.service");
}

/** systemd writes bytes that a unit name may not hold as `\x2d`. Source: systemd.unit(5), "String Escaping for Inclusion in Unit Names". */
function unescapeUnit(name: string): string {
  if (!name.includes("\\x")) return name;
  const bytes = Buffer.from(
    name.replace(/\\x([0-9a-f]{2})/g, (_match, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    "latin1",
  );
  const text = bytes.toString("utf8");
  return text.includes("\uFFFD") ? name : text;
}
