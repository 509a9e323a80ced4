// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { writeDurably } from "../spool/durable-file.ts";

/** This host's own credential, given by the API at enrolment. */
export interface Credential {
  readonly hostId: string;
  readonly hostName: string;
  /** `wgl_hst_…`. Never logged. */
  readonly credential: string;
  /** The machine it was given to: a cloned disk brings its credential along, and must not report as the original. */
  readonly machineKey: string;
}

const credentialFile = (stateDirectory: string) => join(stateDirectory, "credential.json");

/** The credential of this machine, or undefined: none yet, unreadable, or another machine's. */
export function readCredential(stateDirectory: string, machineKey: string): Credential | undefined {
  let value: Partial<Credential>;
  try {
    value = JSON.parse(readFileSync(credentialFile(stateDirectory), "utf8")) as Partial<Credential>;
  } catch {
    return undefined;
  }
  const { hostId, hostName, credential } = value;
  if (typeof hostId !== "string" || typeof hostName !== "string" || typeof credential !== "string" || value.machineKey !== machineKey)
    return undefined;
  return { hostId, hostName, credential, machineKey };
}

/** Keeps the credential, readable by the agent's user alone. */
export async function writeCredential(stateDirectory: string, credential: Credential): Promise<void> {
  await writeDurably(credentialFile(stateDirectory), `${JSON.stringify(credential, null, 2)}\n`, 0o600);
}

/** The enrolment token in a file. Throws an Error that names the file and what is wrong with it, never what is in it. */
export function readEnrolmentToken(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new Error(`the enrolment token file ${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? "error"})`);
  }
  if (!/^wgl_enr_\S+$/.test(text)) throw new Error(`the file ${path} does not hold an enrolment token; expected one line that starts with wgl_enr_`);
  return text;
}
