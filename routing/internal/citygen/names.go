package citygen

// All names are invented.
var (
	mainlandNames = []string{"Adelowo", "Itamore", "Okerimi", "Ogunlase", "Abesin", "Iganwe", "Mosafe", "Papariko",
		"Ketuma", "Oworoba", "Alagbedo", "Ilasamo", "Ebutare", "Yabiro", "Surewa", "Onipade", "Agidan", "Oreloju",
		"Iponrin", "Magbora", "Ajegale", "Ojuwoye"}
	islandNames = []string{"Marina", "Old Harbour", "Lantern Quay", "Palm Strand", "Heron Point", "Coral Reach",
		"Ilubira", "Osabo", "Lekwari", "Ikatun", "Ajarin", "Tarkwan"}
	parkNames = []string{"Heron Park", "Botanic Garden", "Freedom Gardens", "Mangrove Park",
		"Racecourse Park", "Palm Grove"}
	streetNames = []string{"Market", "Harbour", "Cathedral", "Station", "Independence", "Broad", "Lagoon", "Mission",
		"College", "Orchid", "Kingfisher", "Customs", "Baobab", "Palm", "Foundry", "Observatory", "Commerce", "Museum",
		"Weavers'", "Drummers'", "Salt", "Copper", "Sunrise", "Union"}
	streetKinds = []string{"Road", "Avenue", "Way"}
)
