// SPDX-License-Identifier: Apache-2.0
import { machine } from "node:os";
import { agentVersion } from "../version.ts";

/** `waggle-agent version`: what runs here. */
export async function version(): Promise<string> {
  return [`waggle-agent ${agentVersion}`, `node ${process.versions.node}`, `libbpf ${await libbpfVersion()}`, `architecture ${machine()}`].join("\n");
}

async function libbpfVersion(): Promise<string> {
  try {
    const { getLibbpf } = await import("../libbpf/symbols.ts");
    const library = getLibbpf() as unknown as { libbpf_version_string?(): string };
    return library.libbpf_version_string?.() ?? "1.x";
  } catch (error) {
    return `not usable: ${(error as Error).message}`;
  }
}
