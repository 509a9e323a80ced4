// SPDX-License-Identifier: Apache-2.0
import { resolveLibchdb } from "chdb/libchdb";
import { ClickHouseServerError } from "./errors.ts";

/**
 * Absolute path of `libchdb.so` for this machine (linux x64 and arm64 with glibc, macOS).
 *
 * `chdb/libchdb` only looks at the file system: it loads neither the addon nor the library. It resolves the platform package from
 * chdb's own folder, which pnpm's layout requires, and lets `CHDB_LIBCHDB_PATH` point elsewhere.
 *
 * @throws ClickHouseServerError `library-missing`
 */
export function findLibrary(): string {
  try {
    return resolveLibchdb().path;
  } catch (cause) {
    throw new ClickHouseServerError(
      "library-missing",
      `The ClickHouse engine libchdb is not installed for ${process.platform}-${process.arch}: ${messageOf(cause)}. ` +
        "Run `pnpm install` with optional dependencies (about 570 MB), set CHDB_LIBCHDB_PATH to a libchdb.so, " +
        "or set WAGGLE_CLICKHOUSE_URL to a ClickHouse server of your own.",
      { cause },
    );
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause)).replace(/\.$/, "");
