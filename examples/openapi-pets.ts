/*
 * An agent whose tools are the operations of an API, out of its OpenAPI document. The API is a small one on loopback, and the
 * model is scripted, so that it needs neither a network nor an account.
 *
 *   npm start -- examples/openapi-pets.ts
 *   curl -s http://127.0.0.1:8080/chat -H 'content-type: application/json' -d '{"message":"Which cats are there?"}'
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { agent, openapiTools, scriptedModel, type ModelRequest } from 'parleykit'

const apiKey = 'pets-key-1'
const api = await startApi()

// #region openapi-tools
const petTools = openapiTools({
  document: new URL('pets-api.json', import.meta.url),
  baseURL: api.url,
  auth: { apiKey: { in: 'header', name: 'X-Api-Key', value: apiKey } },
  approval: 'writes',
  allowPrivate: true,
})
// #endregion

export default agent({
  name: 'shelter',
  model: scriptedModel(answer, { id: 'scripted/shelter' }),
  instructions: 'You work for an animal shelter.',
  tools: petTools,
})

/** Stands for a model that can choose tools. */
function answer({ items }: ModelRequest) {
  const last = items.at(-1)
  if (last?.type === 'tool_result') return `The shelter says: ${last.output}`
  const said = JSON.stringify(last)
  const petId = /number (\d+)/.exec(said)?.[1]
  if (petId !== undefined) return call('adoptPet', { petId: Number(petId), body: { family: 'Miller' } })
  return call('listPets', said.includes('cats') ? { kind: 'cat' } : {})
}

function call(name: string, input: Record<string, unknown>) {
  return { toolCalls: [{ name, arguments: input }] }
}

/** Stands for somebody else's API. */
async function startApi(): Promise<{ url: string }> {
  const pets = [
    { id: 1, name: 'Tom', kind: 'cat' },
    { id: 2, name: 'Rex', kind: 'dog' },
  ]
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://api')
    const kind = searchParams.get('kind')
    const pet = pets.find(({ id }) => pathname === `/v1/pets/${id}/adoption`)
    const send = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    if (request.headers['x-api-key'] !== apiKey) send(401, { error: 'who are you?' })
    else if (pathname === '/v1/pets') send(200, kind ? pets.filter((one) => one.kind === kind) : pets)
    else if (pet && request.method === 'POST') send(201, { adopted: pets.splice(pets.indexOf(pet), 1)[0] })
    else send(404, { error: 'no such pet' })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Does not keep the program from ending.
  server.unref()
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1` }
}
