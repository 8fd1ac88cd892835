import { z } from 'zod'

/**
 * A name that a client gives to a session, or one of our ids. It goes into headers, paths and databases: control characters
 * and lone surrogates would not survive that.
 */
export const sessionIdSchema = z
  .string()
  .min(1)
  .max(256)
  .refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'Must not hold control characters')
