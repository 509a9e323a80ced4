// SPDX-License-Identifier: Apache-2.0

/** A kernel the probes are held against, and where it comes from. */
export interface KernelSpec {
  /** What people call it, and its column in docs/kernels.md. */
  readonly name: string;
  /** Release of Debian that has it. */
  readonly suite: "bullseye" | "bookworm" | "sid";
  /** Packages of that release it may be in; the newest one counts. */
  readonly packages: RegExp;
}

/** Oldest first. The generic flavour: the one for clouds has no 9p, by which a guest sees the host's files. */
export const kernels: readonly KernelSpec[] = [
  { name: "5.10", suite: "bullseye", packages: /^linux-image-5\.10\.0-\d+-amd64$/ },
  { name: "6.1", suite: "bookworm", packages: /^linux-image-6\.1\.0-\d+-amd64$/ },
  { name: "6.12", suite: "bookworm", packages: /^linux-image-6\.12\.\d+\+deb12-amd64$/ },
  // Where a kernel is split, its image is in linux-binary-… and its modules in linux-modules-….
  { name: "newest", suite: "sid", packages: /^linux-(binary|image)-[\d.]+\+deb\d+-amd64$/ },
];

/** What the kernel of this machine is called; nothing is emulated for it. */
export const HOST = "host";
