// SPDX-License-Identifier: Apache-2.0
export { makeDirectory } from "./make-directory.ts";
