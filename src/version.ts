import { createRequire } from 'node:module'

// The package's own name resolves to the sources' package.json and to the published one alike.
const { version: packageVersion } = createRequire(import.meta.url)('parleykit/package.json') as {
  version: string
}

/** The version of this package. */
export const version = packageVersion
