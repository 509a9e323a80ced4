// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants } from "node:fs";
import { makeDirectory } from "@waggle/directory";
import { ConfigError } from "./config.ts";

/** Makes the data directory if it is missing, mode 0750. Throws a ConfigError that names it, if this process cannot write there. */
export function prepareDataDirectory(directory: string): void {
  try {
    makeDirectory(directory, 0o750);
    accessSync(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(directory, error);
  }
}

/** What to say when something in the data directory cannot be written. */
export function unusable(directory: string, error: unknown): ConfigError {
  return new ConfigError(
    `the data directory ${directory} cannot be used by user id ${process.getuid?.()} (${(error as Error).message}); ${remedyOf((error as NodeJS.ErrnoException).code)} set WAGGLE_API_DATA_DIRECTORY`,
  );
}

function remedyOf(code: string | undefined): string {
  if (code === "ENOSPC" || code === "EDQUOT") return "make room on its disk, or";
  if (code === "EROFS") return "mount it writable, or";
  return "create it for the API's user, or";
}
