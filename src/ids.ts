import { randomFillSync } from 'node:crypto'
import { V7Generator } from 'uuidv7'

export type IdPrefix = 'run' | 'conv' | 'item' | 'call' | 'appr' | 'key' | 'req' | 'node'

// Random numbers by the page: asking for them costs more than an id does.
const random = new Uint32Array(1024)
let used = random.length

const generator = new V7Generator({
  nextUint32(): number {
    if (used === random.length) {
      randomFillSync(random)
      used = 0
    }
    // Never behind the end: just filled again.
    return random[used++] ?? 0
  },
})

/**
 * A new id: prefix, underscore, 32 hexadecimal digits of a UUIDv7 (RFC 9562). Ids of one process sort in the order they
 * were made.
 */
export function createId(prefix: IdPrefix): string {
  return `${prefix}_${generator.generate().toHex()}`
}

const pattern = /^([a-z]+)_[0-9a-f]{32}$/

/** Whether the text has the form of an id of this kind. Says nothing of its existence. */
export function isId(prefix: IdPrefix, text: string): boolean {
  return pattern.exec(text)?.[1] === prefix
}
