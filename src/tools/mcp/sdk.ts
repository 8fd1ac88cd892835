/** What we use of the official client. Loaded when the first server is opened, so that nobody else pays for it. */
export type Sdk = typeof import('@modelcontextprotocol/client') &
  Pick<typeof import('@modelcontextprotocol/client/stdio'), 'getDefaultEnvironment'>

export async function loadSdk(): Promise<Sdk> {
  const [client, { getDefaultEnvironment }] = await Promise.all([
    import('@modelcontextprotocol/client'),
    import('@modelcontextprotocol/client/stdio'),
  ])
  return { ...client, getDefaultEnvironment }
}
