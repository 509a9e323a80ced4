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
    return getLibbpf().libbpf_version_string();
  } catch (error) {
    return `not usable: ${(error as Error).message}`;
  }
}
