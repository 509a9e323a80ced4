// SPDX-License-Identifier: Apache-2.0
export async function doctor(_environment: NodeJS.ProcessEnv, _options: { json: boolean }, _print: (text: string) => void): Promise<number> {
  return 0;
}
