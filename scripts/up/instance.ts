// SPDX-License-Identifier: Apache-2.0
import { randomUUID } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { makeDirectory } from "../../packages/directory/src/index.ts";
import type { Ports } from "./options.ts";

/** Identity of what a data directory holds; a deleted and recreated directory is another instance. Throws an Error if this user cannot write there. */
export function instanceIdOf(dataDirectory: string): string {
  try {
    makeDirectory(dataDirectory, 0o750);
    accessSync(dataDirectory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new Error(
      `${dataDirectory} cannot be written by user id ${process.getuid?.()} (${code}); choose another --data, or run this as the directory's owner`,
    );
  }
  const file = join(dataDirectory, "instance-id");
  if (!existsSync(file)) writeFileSync(file, `${randomUUID()}\n`);
  return readFileSync(file, "utf8").trim();
}

/** Makes this process the only `up` on the data directory. Throws an Error that names the other one's pid. Returns the release. */
export function lockDataDirectory(dataDirectory: string): () => void {
  const file = join(dataDirectory, "up.pid");
  const other = existsSync(file) ? Number(readFileSync(file, "utf8").trim()) : 0;
  if (other > 0 && other !== process.pid && isUp(other)) {
    throw new Error(`${dataDirectory} is in use by another ./waggle up (pid ${other}); stop it, or choose another --data and --port-base`);
  }
  writeFileSync(file, `${process.pid}\n`);
  return () => rmSync(file, { force: true });
}

/** A pid alone may have been given to another program since. */
function isUp(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("scripts/up/main.ts");
  } catch {
    return false;
  }
}

/** The ports of `ports` that somebody else listens on, by what they are for. */
export async function takenPorts(ports: Ports): Promise<string[]> {
  const taken: string[] = [];
  for (const [use, port] of Object.entries(ports)) if (!(await isFree(port))) taken.push(`${port} (${use})`);
  return taken;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
