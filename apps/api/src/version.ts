// SPDX-License-Identifier: Apache-2.0

/** Version of the API's program, told to agents in every Config. */
export const apiVersion = "0.1.0";
