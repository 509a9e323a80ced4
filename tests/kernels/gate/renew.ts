// SPDX-License-Identifier: Apache-2.0
/**
 * `node tests/kernels/gate/renew.ts [KERNEL]...`: renews the shelf out of the kernels themselves (fetched as for `./waggle test kernels`; of this machine the BTF it
 * shows). To be run when a program names a type that none did before, or a newer kernel is wanted.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { KERNEL_BTF_PATH } from "../../../apps/agent/src/kernel/kernel-btf.ts";
import { readSection } from "../../../apps/agent/src/libbpf/elf.ts";
import { fetchKernel } from "../fetch.ts";
import { HOST, kernels } from "../kernels.ts";
import { BtfTypes } from "./btf-types.ts";
import { minimize } from "./minimize.ts";
import { Objects } from "./predict.ts";
import { shelfFolder, wantedOf } from "./shelf.ts";

const root = resolve(import.meta.dirname, "../../..");
const names = process.argv.length > 2 ? process.argv.slice(2) : [...kernels.map(({ name }) => name), HOST];
const objects = new Objects(join(root, "packages/bpf/build"));
mkdirSync(shelfFolder, { recursive: true });
for (const name of names) {
  const btf = name === HOST ? readFileSync(KERNEL_BTF_PATH) : btfOfImage(imageOf(name));
  const small = gzipSync(minimize(new BtfTypes(btf), wantedOf(objects, btf)), { level: 9 });
  writeFileSync(join(shelfFolder, `${name}.btf.gz`), small);
  console.log(`${name}: ${btf.length} bytes of BTF, ${small.length} kept`);
}

function imageOf(name: string): string {
  const spec = kernels.find((kernel) => kernel.name === name);
  if (spec === undefined) throw new Error(`no kernel ${name}`);
  return fetchKernel(spec, join(root, ".waggle/kernels")).image;
}

/** BTF out of a bootable image: a small loader, and behind it the compressed kernel (Linux' own scripts/extract-vmlinux does the same). */
function btfOfImage(image: string): Buffer {
  const bytes = readFileSync(image);
  const packings = [
    { magic: Buffer.from([0x28, 0xb5, 0x2f, 0xfd]), tool: "zstd" },
    { magic: Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), tool: "xz" },
    { magic: Buffer.from([0x1f, 0x8b, 0x08]), tool: "gzip" },
  ];
  for (const { magic, tool } of packings) {
    for (let at = bytes.indexOf(magic); at >= 0; at = bytes.indexOf(magic, at + 1)) {
      // What lies behind the compressed part makes the tool complain after it has done all.
      const { stdout } = spawnSync(tool, ["-dc"], { input: bytes.subarray(at), maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "ignore"] });
      if (stdout !== null && stdout.length > 1 << 20) return readSection(stdout, ".BTF");
    }
  }
  const hasTools = packings.map(({ tool }) => tool).filter((tool) => !existsSync(`/usr/bin/${tool}`));
  throw new Error(`no kernel found in ${image}${hasTools.length > 0 ? `; missing tools: ${hasTools.join(", ")}` : ""}`);
}
