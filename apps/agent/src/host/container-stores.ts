// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, fstatSync, opendirSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Container } from "./unit-path.ts";

/** What became of a search. `unit` of a name that is not whole: the pod is known, the container is not. */
export type Found =
  | { readonly state: "named"; readonly unit: string }
  /** Something that may hold it is closed to this process. */
  | { readonly state: "denied"; readonly unit?: string }
  | { readonly state: "missing"; readonly unit?: string };

/** Kubelet's links to the logs of containers, `<pod>_<namespace>_<container>-<id>.log`, and its folders of pods, `<namespace>_<pod>_<uid>`: their names are open to all. */
const KUBERNETES_CONTAINERS = "var/log/containers";
const KUBERNETES_PODS = "var/log/pods";
const DOCKER = "var/lib/docker/containers";
const PODMAN = "var/lib/containers/storage";
/** Both containerd's and CRI-O's copies of what they give to runc. */
const CONTAINERD_TASKS = "run/containerd/io.containerd.runtime.v2.task";
const CRIO_CONTAINERS = ["run/containers/storage/overlay-containers", "var/lib/containers/storage/overlay-containers"];
/** Where users without privileges have their own; below each home. */
const ROOTLESS_DOCKER = ".local/share/docker/containers";
const ROOTLESS_PODMAN = ".local/share/containers/storage";
/** The name of podman's list depends on the storage driver. */
const PODMAN_LISTS = ["overlay-containers", "vfs-containers", "btrfs-containers"].map((folder) => `${folder}/containers.json`);

const HOMES_MAX = 64;
const FILE_BYTES_MAX = 4 * 1024 * 1024;

/** Files are whatever their owner wrote into them, and a container's owner may be anybody: only what a runtime would accept as a name is one. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,252}$/;

/** A capability that lets a process read every file and changes nothing else. */
export const NAMES_DENIED = "denied: CAP_DAC_READ_SEARCH";

/** What an agent without privileges is refused. */
class Denied extends Error {}

/** The files in which runtimes and kubelet keep what containers are called. */
export class ContainerStores {
  readonly #hostRoot: string;
  /** Read again when the file or folder has changed. */
  readonly #read = new Map<string, { readonly version: string; readonly names: ReadonlyMap<string, string> }>();

  /** @param hostRoot where the host's root directory is */
  constructor(hostRoot: string) {
    this.#hostRoot = hostRoot;
  }

  find(container: Container): Found {
    if (container.runtime === "k8s") return this.#findInKubernetes(container);
    const { id, runtime } = container;
    if (id === undefined) return { state: "missing" };
    const searches: Record<string, readonly ((id: string) => string | undefined)[]> = {
      docker: [this.#inDocker],
      podman: [this.#inPodman],
      nerdctl: [this.#inContainerd],
      containerd: [this.#inContainerd],
      ecs: [this.#inDocker],
      // Only the id is known: it is in one of them or in none.
      container: [this.#inContainerd, this.#inDocker, this.#inPodman],
    };
    let isDenied = false;
    for (const search of searches[runtime] ?? []) {
      try {
        const name = search.call(this, id);
        if (name !== undefined) return { state: "named", unit: `${search === this.#inContainerd ? "nerdctl" : runtime}/${name}` };
      } catch (error) {
        if (!(error instanceof Denied)) throw error;
        isDenied = true;
      }
    }
    return { state: isDenied ? "denied" : "missing" };
  }

  /** Whether the files can be read, by runtime, of those that are on this host. */
  access(): Map<string, string> {
    const stores: readonly [string, string][] = [
      ["k8s", KUBERNETES_CONTAINERS],
      ["docker", DOCKER],
      ["podman", `${PODMAN}/overlay-containers`],
      ["containerd", CONTAINERD_TASKS],
    ];
    const access = new Map<string, string>();
    for (const [runtime, path] of stores) {
      try {
        // Not access(2): that asks for the real user and leaves out capabilities.
        opendirSync(this.#path(path)).closeSync();
        access.set(runtime, "readable");
      } catch (error) {
        if (isRefusal(error)) access.set(runtime, NAMES_DENIED);
      }
    }
    return access;
  }

  #findInKubernetes({ id, pod }: Container): Found {
    const logged = id === undefined ? undefined : this.#namesIn(KUBERNETES_CONTAINERS, namesOfContainerLogs).get(id);
    if (logged !== undefined) return { state: "named", unit: `k8s/${logged}` };
    let isDenied = false;
    try {
      const told = id === undefined ? undefined : this.#inContainerRuntimeInterface(id);
      if (told !== undefined) return { state: "named", unit: `k8s/${told}` };
    } catch (error) {
      if (!(error instanceof Denied)) throw error;
      isDenied = true;
    }
    const podName = pod === undefined ? undefined : this.#namesIn(KUBERNETES_PODS, namesOfPodFolders).get(pod);
    if (podName === undefined) return { state: isDenied ? "denied" : "missing" };
    if (id === undefined) return { state: "named", unit: `k8s/${podName}` };
    return { state: isDenied ? "denied" : "missing", unit: `k8s/${podName}/${id.slice(0, 12)}` };
  }

  /** `<namespace>/<pod>/<container>`, or `<namespace>/<pod>` for what only holds the pod's namespaces. */
  #inContainerRuntimeInterface(id: string): string | undefined {
    for (const folder of [`${CONTAINERD_TASKS}/k8s.io/${id}`, ...CRIO_CONTAINERS.map((path) => `${path}/${id}/userdata`)]) {
      const annotations = annotationsOf(this.#json(`${folder}/config.json`));
      const of = (...names: string[]): string | undefined => nameOrNot(names.map((name) => annotations[name]).find((value) => value !== undefined));
      const pod = of("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name");
      const namespace = of("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace");
      if (pod === undefined || namespace === undefined) continue;
      const type = of("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType");
      const container = of("io.kubernetes.cri.container-name", "io.kubernetes.container.name");
      if (type === "sandbox") return `${namespace}/${pod}`;
      if (container !== undefined) return `${namespace}/${pod}/${container}`;
    }
    return undefined;
  }

  #inDocker(id: string): string | undefined {
    return this.#inAny([DOCKER, ...this.#homes().map((home) => `${home}/${ROOTLESS_DOCKER}`)], (folder) => {
      const config = this.#json(`${folder}/${id}/config.v2.json`) as { ID?: unknown; Name?: unknown } | undefined;
      return config?.ID === id && typeof config.Name === "string" ? nameOrNot(config.Name.replace(/^\//, "")) : undefined;
    });
  }

  #inPodman(id: string): string | undefined {
    const folders = [PODMAN, ...this.#homes().map((home) => `${home}/${ROOTLESS_PODMAN}`)];
    const lists = folders.flatMap((folder) => PODMAN_LISTS.map((list) => `${folder}/${list}`));
    return this.#inAny(lists, (list) => this.#namesInFile(list).get(id));
  }

  #inContainerd(id: string): string | undefined {
    let namespaces: string[];
    try {
      namespaces = readdirSync(this.#path(CONTAINERD_TASKS));
    } catch (error) {
      if (isRefusal(error)) throw new Denied();
      return undefined;
    }
    return this.#inAny(namespaces, (namespace) =>
      nameOrNot(annotationsOf(this.#json(`${CONTAINERD_TASKS}/${namespace}/${id}/config.json`))["nerdctl/name"]),
    );
  }

  /** The first that knows it. Denied only if none does and one was closed. */
  #inAny(places: readonly string[], search: (place: string) => string | undefined): string | undefined {
    let denied: Denied | undefined;
    for (const place of places) {
      try {
        const name = search(place);
        if (name !== undefined) return name;
      } catch (error) {
        if (!(error instanceof Denied)) throw error;
        denied = error;
      }
    }
    if (denied !== undefined) throw denied;
    return undefined;
  }

  /** Homes of users, relative to the host's root. */
  #homes(): string[] {
    const homes = new Set<string>();
    try {
      for (const name of readdirSync(this.#path("home"))) homes.add(`home/${name}`);
    } catch {}
    for (const line of (this.#text("etc/passwd") ?? "").split("\n")) {
      const [, , uid, , , home] = line.split(":");
      if (Number(uid) >= 1_000 && home?.startsWith("/") && home !== "/" && home !== "/nonexistent") homes.add(home.slice(1));
    }
    return [...homes].slice(0, HOMES_MAX);
  }

  /** What the names of a folder's entries say, by id. */
  #namesIn(folder: string, parse: (entries: readonly string[]) => ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    try {
      return this.#once(folder, () => parse(readdirSync(this.#path(folder))));
    } catch {
      return new Map();
    }
  }

  #namesInFile(list: string): ReadonlyMap<string, string> {
    try {
      return this.#once(list, () => namesOfPodmanList(this.#json(list)));
    } catch (error) {
      if (isRefusal(error)) throw new Denied();
      if (error instanceof Denied) throw error;
      return new Map();
    }
  }

  #once(path: string, read: () => ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const { mtimeNs, ino, size } = statSync(this.#path(path), { bigint: true });
    const version = `${mtimeNs} ${ino} ${size}`;
    const known = this.#read.get(path);
    if (known?.version === version) return known.names;
    const names = read();
    this.#read.set(path, { version, names });
    return names;
  }

  #json(path: string): unknown {
    const text = this.#text(path);
    try {
      return text === undefined ? undefined : JSON.parse(text);
    } catch {
      // It is being written, or is none.
      return undefined;
    }
  }

  /** Undefined if it is not there, not an ordinary file or too large. Throws Denied if it is closed to this process. */
  #text(path: string): string | undefined {
    let fd: number;
    try {
      // In a user's home anything may lie under that name: a pipe would hold the agent up.
      fd = openSync(this.#path(path), constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      if (isRefusal(error)) throw new Denied();
      return undefined;
    }
    try {
      const status = fstatSync(fd);
      return status.isFile() && status.size <= FILE_BYTES_MAX ? readFileSync(fd, "utf8") : undefined;
    } catch {
      return undefined;
    } finally {
      closeSync(fd);
    }
  }

  #path(path: string): string {
    return join(this.#hostRoot, path);
  }
}

function isRefusal(error: unknown): boolean {
  return ["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function nameOrNot(value: unknown): string | undefined {
  return typeof value === "string" && NAME.test(value) ? value : undefined;
}

function annotationsOf(config: unknown): Readonly<Record<string, unknown>> {
  return ((config as { annotations?: Record<string, unknown> } | null | undefined)?.annotations ?? {}) as Readonly<Record<string, unknown>>;
}

/** `<namespace>/<pod>/<container>` by container id. Names of Kubernetes have no underscore. */
export function namesOfContainerLogs(entries: readonly string[]): Map<string, string> {
  return new Map(
    entries.flatMap((entry) => {
      const [, pod, namespace, container, id] = /^([a-z0-9.-]+)_([a-z0-9-]+)_([a-z0-9-]+)-([0-9a-f]{64})\.log$/.exec(entry) ?? [];
      return id === undefined ? [] : [[id, `${namespace}/${pod}/${container}`] as const];
    }),
  );
}

/** `<namespace>/<pod>` by the pod's uid. */
export function namesOfPodFolders(entries: readonly string[]): Map<string, string> {
  return new Map(
    entries.flatMap((entry) => {
      const [, namespace, pod, uid] = /^([a-z0-9-]+)_([a-z0-9.-]+)_([0-9a-f-]{32,36})$/.exec(entry) ?? [];
      return uid === undefined ? [] : [[uid, `${namespace}/${pod}`] as const];
    }),
  );
}

/** First name by container id. */
function namesOfPodmanList(list: unknown): Map<string, string> {
  if (!Array.isArray(list)) return new Map();
  return new Map(
    (list as { id?: unknown; names?: unknown }[]).flatMap((entry) => {
      const name = nameOrNot(Array.isArray(entry?.names) ? entry.names[0] : undefined);
      return typeof entry?.id === "string" && name !== undefined ? [[entry.id, name] as const] : [];
    }),
  );
}
