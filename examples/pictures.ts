import { agent, scriptedModel, type Model, type ModelRequest } from 'parleykit'

// #region agent
/** Stands in for a model that sees, so that the example runs without a provider: it tells what it was shown. */
const seeing: Model = {
  ...scriptedModel((request) => ({ text: describe(request) }), { id: 'example/seeing' }),
  accepts: ['image'],
}

export default agent({
  name: 'clerk',
  instructions: 'Say what is on the pictures.',
  // With a key: 'openai/gpt-4o-mini', 'anthropic/claude-sonnet-4-5', 'google/gemini-2.5-flash'.
  model: seeing,
})
// #endregion

function describe(request: ModelRequest): string {
  const shown = request.items.flatMap((item) =>
    item.type === 'message' ? item.content.filter(({ type }) => type === 'image') : [],
  )
  return `I was shown ${shown.length} picture(s).`
}
