// SPDX-License-Identifier: Apache-2.0
// Next leaves static files out of the standalone folder for people who serve them from a CDN. Here the server serves them itself.
import { cpSync } from "node:fs";
import { join } from "node:path";

const web = import.meta.dirname;
const standalone = join(web, ".next/standalone/apps/web");
cpSync(join(web, ".next/static"), join(standalone, ".next/static"), { recursive: true });
cpSync(join(web, "public"), join(standalone, "public"), { recursive: true });
