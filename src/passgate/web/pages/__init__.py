"""The hosted pages: another face of the verbs in `core`. No rule lives here, only what a person sees of one."""
