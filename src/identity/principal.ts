/** Whose rows a query may see. Every read and write of the store that serves a caller takes one. */
export interface Scope {
  /** The user a row belongs to. Credentials are never owners. */
  owner: string
  /** A partition below the owner; empty where the app makes no use of it. */
  namespace: string
}

/** Who calls. */
export interface Principal {
  owner: string
  namespace: string
  /** What a log or an audit entry names the caller by. */
  name: string
}

/** The owner of a row as one who acts: for what the engine does in their name. */
export function ownerOf({ owner, namespace }: Scope): Principal {
  return { owner, namespace, name: owner }
}

/** The caller of a server that has no identity configured; such a server listens on loopback only. */
export const anonymous: Principal = Object.freeze({ owner: 'anonymous', namespace: '', name: 'anonymous' })
