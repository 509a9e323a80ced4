// SPDX-License-Identifier: Apache-2.0

/** Why no connection came about, by the code of the error. */
const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  ENOTFOUND: "the name is unknown",
  EAI_AGAIN: "no name server answers",
  SELF_SIGNED_CERT_IN_CHAIN: "the certificate is signed by an authority that is not known here",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate's authority is not known here",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the certificate's authority is not known here",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  ERR_TLS_CERT_ALTNAME_INVALID: "the certificate is for another name",
};

/** What went wrong, in words, with the code. */
export function describeConnectionError(error: NodeJS.ErrnoException): string {
  const known = error.code === undefined ? undefined : words[error.code];
  return known === undefined ? error.message : `${known} (${error.code})`;
}

/** What is wrong with the API's certificate and what to do about it, in words. */
export function describeTlsError(error: NodeJS.ErrnoException, host: string): string {
  const what = describeConnectionError(error);
  switch (error.code) {
    case "ERR_TLS_CERT_ALTNAME_INVALID": {
      const { names } = /(?:altnames|list): (?<names>[^:]*)$/.exec((error as { reason?: string }).reason ?? "")?.groups ?? {};
      const has = names === undefined || names === "" ? "" : `, it has ${names}`;
      return `${what}${has}; give the API a certificate whose subjectAltName has ${host}, or name it in WAGGLE_AGENT_API_URL as the certificate does`;
    }
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return `${what}; renew it, or set this host's clock right`;
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
      return `${what}; set WAGGLE_AGENT_CA_FILE to the authority that signed the API's certificate`;
    default:
      return `TLS: ${what}`;
  }
}
