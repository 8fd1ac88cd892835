import { uuidv7obj } from 'uuidv7'

export type IdPrefix = 'run' | 'conv' | 'item' | 'call' | 'appr' | 'key' | 'req' | 'node'

/**
 * A new id: prefix, underscore, 32 hexadecimal digits of a UUIDv7 (RFC 9562). Ids of one process sort in the order they
 * were made.
 */
export function createId(prefix: IdPrefix): string {
  return `${prefix}_${uuidv7obj().toHex()}`
}

const pattern = /^([a-z]+)_[0-9a-f]{32}$/

/** Whether the text has the form of an id of this kind. Says nothing of its existence. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return pattern.exec(text)?.[1] === prefix
}
