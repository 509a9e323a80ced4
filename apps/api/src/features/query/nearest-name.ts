// SPDX-License-Identifier: Apache-2.0
export { editDistance, nearestName } from "@waggle/query";
