// SPDX-License-Identifier: Apache-2.0
/**
 * Opens the kernel source, waits for a line on stdin, reads one window and prints it as JSON; bigints become strings.
 * Started by privileges.kernel.test.ts as an ordinary user. Argument: the folder of the BPF objects.
 */
import { once } from "node:events";
import { KernelSource } from "../src/snapshot/window-reader.ts";

using source = await KernelSource.open({ objectDirectory: process.argv[2] as string, names: { unitOf: () => "" } });
await source.readWindow();
process.stdout.write("ready\n");
await once(process.stdin, "data");
const window = await source.readWindow();
const text = JSON.stringify(
  { uid: process.getuid?.(), programs: source.programs(), window: { ...window, rows: Object.fromEntries(window.rows) } },
  (_, value) => (typeof value === "bigint" ? value.toString() : value),
);
process.stdout.write(`${text}\n`);
process.stdin.destroy();
