// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KernelSpec } from "./kernels.ts";

/** A kernel as it lies in the cache. */
export interface StoredKernel {
  readonly name: string;
  /** `uname -r` */
  readonly release: string;
  readonly image: string;
  /** Folder that is /lib/modules/<release>, with its index. */
  readonly modules: string;
}

const DOWNLOAD_MS_MAX = 600_000;

/**
 * The kernel out of the cache, or downloaded into it from the mirrors this machine's apt uses, with package lists of its own: the machine's lists and
 * packages stay as they are. Throws if there is no such package or no way to it.
 */
export function fetchKernel(spec: KernelSpec, cache: string): StoredKernel {
  const folder = join(cache, spec.name);
  if (!existsSync(join(folder, "release"))) download(spec, cache, folder);
  const release = readFileSync(join(folder, "release"), "utf8").trim();
  const image = [join(folder, "boot", `vmlinuz-${release}`), join(folder, "usr/lib/modules", release, "vmlinuz")].find((path) => existsSync(path));
  const modules = [join(folder, "lib/modules", release), join(folder, "usr/lib/modules", release)].find((path) =>
    existsSync(join(path, "modules.dep")),
  );
  if (image === undefined || modules === undefined) throw new Error(`${folder} is not whole; remove it and run this again`);
  return { name: spec.name, release, image, modules };
}

function download(spec: KernelSpec, cache: string, folder: string): void {
  const apt = new PackageLists(spec.suite, cache);
  const image = apt.newest(spec.packages);
  const release = image.replace(/^linux-(binary|image)-/, "");
  const work = `${folder}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  for (const name of image.startsWith("linux-binary-") ? [image, `linux-modules-${release}`] : [image]) {
    const file = apt.download(name, work);
    execFileSync("dpkg", ["-x", file, work]);
    rmSync(file);
  }
  // Installed packages have their index made by a script; only busybox makes one without being told where Linux is installed.
  const base = existsSync(join(work, "usr/lib/modules")) ? join(work, "usr") : work;
  execFileSync("busybox", ["depmod", "-b", base, release]);
  writeFileSync(join(work, "release"), `${release}\n`);
  rmSync(folder, { recursive: true, force: true });
  renameSync(work, folder);
}

/** apt with sources and lists in a folder of their own. */
class PackageLists {
  readonly #options: string[];

  constructor(suite: KernelSpec["suite"], cache: string) {
    const folder = join(cache, "apt", suite);
    mkdirSync(join(folder, "lists/partial"), { recursive: true });
    const sources = join(folder, "sources.list");
    writeFileSync(sources, sourcesOf(suite));
    const settings = {
      "Dir::Etc::sourcelist": sources,
      "Dir::Etc::sourceparts": "-",
      "Dir::State::Lists": join(folder, "lists"),
      "Dir::Cache::pkgcache": "",
      "Dir::Cache::srcpkgcache": "",
      "Acquire::Languages": "none",
      // The cache need not be readable for apt's own user.
      "APT::Sandbox::User": "root",
    };
    this.#options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    execFileSync("apt-get", [...this.#options, "-qq", "update"], { stdio: ["ignore", "ignore", "pipe"], timeout: DOWNLOAD_MS_MAX });
  }

  newest(pattern: RegExp): string {
    const names = execFileSync("apt-cache", [...this.#options, "pkgnames", "linux-"], { encoding: "utf8", maxBuffer: 1 << 24 }).split("\n");
    const found = names.filter((name) => pattern.test(name)).sort(new Intl.Collator("en", { numeric: true }).compare);
    // Where both are there, linux-image-… is an empty package that stands for linux-binary-….
    const name = found.filter((candidate) => candidate.startsWith("linux-binary-")).at(-1) ?? found.at(-1);
    if (name === undefined) throw new Error(`no package like ${pattern.source}`);
    return name;
  }

  download(name: string, into: string): string {
    execFileSync("apt-get", [...this.#options, "-qq", "download", name], {
      cwd: into,
      stdio: ["ignore", "ignore", "pipe"],
      timeout: DOWNLOAD_MS_MAX,
    });
    const file = readdirSync(into).find((entry) => entry.endsWith(".deb"));
    if (file === undefined) throw new Error(`apt has not downloaded ${name}`);
    return join(into, file);
  }
}

/** Lines of a sources list for that release, on the mirrors this machine itself uses. */
function sourcesOf(suite: KernelSpec["suite"]): string {
  const targets = execFileSync("apt-get", ["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"], { encoding: "utf8" });
  const mirrors = targets.split("\n").map((line) => line.split(" ") as [string, string?]);
  const main = mirrors.find(([, release]) => /^[a-z]+$/.test(release ?? ""))?.[0];
  const security = mirrors.find(([, release]) => release?.endsWith("-security"))?.[0];
  if (main === undefined) throw new Error("apt has no Debian mirror configured; kernels are fetched on Debian only");
  const lines = [`deb ${main} ${suite} main`];
  // Newer kernels of a release that is maintained come by way of its security updates.
  if (suite === "bookworm" && security !== undefined) lines.push(`deb ${security} ${suite}-security main`);
  return `${lines.join("\n")}\n`;
}
