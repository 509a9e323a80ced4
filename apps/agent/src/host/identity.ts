// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "@waggle/directory";

/** What tells this machine and this boot apart from all others. */
export interface HostIdentity {
  /** 64 hex digits; the same for the life of the installation, and no way back to the machine id. */
  readonly machineKey: string;
  /** Where the machine key comes from; `generated` is lost with the state directory. */
  readonly machineKeySource: "machine-id" | "generated";
  /** /proc/sys/kernel/random/boot_id, or a random one where that is hidden. */
  readonly bootId: string;
  /** The first 8 bytes of the boot id. */
  readonly bootTag: bigint;
}

/** Without the prefix, anyone who knows the hash of a machine id from elsewhere could recognise the machine. */
const prefix = "waggle machine key\n";

/**
 * Reads who this machine is. Without /etc/machine-id an id is made once and kept in the state directory. Throws if that cannot be written: a
 * machine that is another one after each start would fill the fleet with hosts that never existed.
 */
export function readHostIdentity(hostRoot: string, stateDirectory: string): HostIdentity {
  const machineId = readMachineId(hostRoot);
  const bootId = readText(join(hostRoot, "proc/sys/kernel/random/boot_id")) ?? randomUUID();
  return {
    machineKey: createHash("sha256")
      .update(prefix + (machineId ?? generatedId(stateDirectory)))
      .digest("hex"),
    machineKeySource: machineId === undefined ? "generated" : "machine-id",
    bootId,
    bootTag: BigInt(`0x${bootId.replaceAll("-", "").slice(0, 16)}`),
  };
}

function readMachineId(hostRoot: string): string | undefined {
  // Images ship the file empty or as "uninitialized"; systemd fills it at first boot.
  for (const path of ["etc/machine-id", "var/lib/dbus/machine-id"]) {
    const text = readText(join(hostRoot, path));
    if (text !== undefined && /^[0-9a-f]{32}$/.test(text)) return text;
  }
  return undefined;
}

function generatedId(stateDirectory: string): string {
  const path = join(stateDirectory, "machine-id");
  const kept = readText(path);
  if (kept !== undefined && kept !== "") return kept;
  const made = randomUUID();
  makeDirectory(stateDirectory, 0o755);
  writeFileSync(path, `${made}\n`, { mode: 0o600 });
  return made;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
