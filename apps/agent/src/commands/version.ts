// SPDX-License-Identifier: Apache-2.0
import { machine } from "node:os";
import { agentVersion } from "../version.ts";

/** `waggle-agent version`: what runs here, for people, or as one JSON object. */
export async function version(options: { readonly json: boolean }): Promise<string> {
  const versions = { "waggle-agent": agentVersion, node: process.versions.node, libbpf: await libbpfVersion(), architecture: machine() };
  if (options.json) return JSON.stringify(versions, null, 2);
  return Object.entries(versions)
    .map(([name, value]) => `${name} ${value}`)
    .join("\n");
}

async function libbpfVersion(): Promise<string> {
  try {
    const { getLibbpf } = await import("../libbpf/symbols.ts");
    return getLibbpf().libbpf_version_string();
  } catch (error) {
    return `not usable: ${(error as Error).message}`;
  }
}
