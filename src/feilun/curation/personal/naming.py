"""What people are called: Chinese surnames and the characters of given names, frequent English first and last names.

This module knows names only, from public statistics of names. It does not know texts.
"""

from __future__ import annotations

from feilun.curation.personal.spans import words

SURNAMES = frozenset(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈"
    "姚卢姜崔钟谭陆汪范金石廖贾夏韦付方白邹孟熊秦邱江尹薛闫段雷侯龙史陶黎贺"
    "顾毛郝龚邵万钱严覃武戴莫孔向汤常温康施文牛樊葛邢安齐易乔伍庞颜倪庄聂章鲁岳翟殷詹申欧耿关兰焦俞左柳甘"
    "祝包宁尚符舒阮柯纪梅童凌毕单季裴霍涂成苗谷盛曲翁冉骆蓝路游辛靳管柴蒙鲍华喻祁蒲"
    "房滕屈饶解牟艾尤阳时穆农司卓古吉缪简车项连芦麦褚娄窦戚岑景党宫费卜冷晏席卫米柏宗瞿桂全佟应臧闵苟邬边"
    "卞姬师和仇栾隋商刁沙荣巫寇桑郎甄丛仲虞敖巩明佘池查麻苑迟邝官封谈匡鞠惠荆乐冀郁胥"
    "南班储原栗燕楚鄢劳谌奚皮粟冼蔺楼盘满闻位厉伊仝区郜海阚花权强帅屠豆朴盖练廉禹井祖漆巴丰支卿国狄平计索"
    "宣晋相初门云容敬来扈晁芮都普阙浦戈伏鹿薄邸雍辜羊阿乌母裘亓修邰赫杭况那宿鲜印逯隆"
    "茹诺战慕危玉银亢嵇公哈湛宾戎勾茅利於呼居揭干但尉冶斯元束檀衣信展阴昝智幸奉植衡富尧闭由罗萧閻葉張劉陳"
    "楊黃趙吳孫馬鄭謝許韓馮鄧蕭鄒龔錢嚴湯莊顏賴"
)
COMPOUND = frozenset(
    words("""
欧阳 上官 司马 诸葛 皇甫 尉迟 公孙 慕容 令狐 司徒 东方 夏侯 长孙 宇文 端木 独孤 南宫 轩辕 百里 呼延 闻人 赫连
澹台 公冶 宗政 濮阳 淳于 单于 太叔 申屠 仲孙 钟离 鲜于 闾丘 司空 第五 拓跋 歐陽 諸葛 司馬
""")
)
GIVEN = frozenset(
    "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文辉玲健红建志华国玉梅海燕春梓涵浩宇轩然子欣怡雨泽博"
    "思佳嘉俊凯旭阳晨晓小雪雯婷琳慧倩颖洁莉薇蕾萍珍珠凤鹏飞龙虎斌彬波峰锋庆林森木生成功胜利"
    "宁宏洪鸿亮良才德仁义礼智信忠孝福禄寿康安乐天恩光耀辰星月云霄雷雲电风清泉江河湖溪源流溢润泓沐沛淳渊瀚"
    "澜潇淑贞贤惠美琪琦瑶瑾瑜璇璐莹晶颜彤丹彩虹紫青蓝白墨绿诗书画琴棋韵歌舞音乐语言诺一二三"
    "四五六七九十元正中东西南北冬夏秋立新益民学勤友邦振兴启明哲睿聪颖敬远达道行之若如可心意真善爱卉菲芬芸"
    "苗茜莲荷菊兰芝蓉蔓薰萱芷苓茵荣菁芮晗昊昕昱晟晖景晴智曦曼朗朝望期本杉杨柏松柳桐楠枫梁栋"
    "樱桃欢欣悦怀恒恺悠惟慎懿成戈才扬拓振捷政放斐斯方施旋日易映显普晋世丞亦亚亨京仁今介伦伯佑作佩依侠保修"
    "倍健傲儒允元兆先克全公六兵其典冠冰凌凡凤出利前力加励劲勋化升卓博卫厚原双发可叶吉同名君"
    "含启吟和咏哲唯商善喜圣坚坤城基堂增士壮声壹多大奇奎奕好妍妙妮姗姝姿娅家娇娴婉媛嫣嬿孟宁守安宗官定宜宝"
    "实宣容宸富寒对导尔尚展山岚岩岭岳峻崇川州巧巍帅帆常幼广庭延弘张强彦彪影律得微徽德念怜总恬恵"
    "情惜慕懋戎扬承拥新旺昂昌时晶智暖曙最月朋朔权来极果柔标树根桦梦楚槐歆武毅民水永汉汝沁沂治法泉泰洲活浦"
    "浩浪涌淇深添港湘溶滔滢漫激灵灿炎炜炫炳烁烨焕熙熠燊爽牧特献玄率王玖玥环珂珊珍球理琛琢琬琰"
    "瑄瑞瑟璟璧甜田甲男留畅百益盈盛直相真石矜硕碧祎祖祥祺禹秉科程穆竞竹笑策筠简米精系素红纪纯纲纳练细绍经"
    "绪维绮翔翠翰老者聚肃胤自致舒航良艺节芊芙花苏英茂茗范草莎萌萧葆蒙蓓蕴薪藏行衍裕西观言训记"
    "访诚译诗详谊谦豪贝财贵赞赫起超越跃路轲轶辛达迅迎进连述迪通逸遥道邦郁郎采野金鑫钊钢钧钰铁铃铎铭银锐锦"
    "镇长门闯闲闻阔陆陶隆雁雄雅雨霆霖露青靖静韬韶项须顺颂颐飒飘香馨骁骅骏高魁鲁鸣鸽鹤麒麟黎默齐"
    "龄満偉麗軍傑濤蘭國華東強輝鳳龍慶雲馬靜瑩寶賢娥嫦仙姣巧婵嬅婕妹姐根柱栓喜财旺满囡囝阿宝贝震"
)
# Characters that follow a name in running text and rarely end one.
FOLLOWS = frozenset(
    "的了在是于因和与及说到来去已将把被向对从有为就也都还要会能可让给叫请问住电手身先女老同男今昨前后上下"
    "以这那您你我他她它并则且又再等等正等地得着过吗呢吧啊呀们家处"
)

FIRST = frozenset(
    words("""
james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony mark
donald steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey ryan jacob gary
nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory alexander frank patrick
raymond jack dennis jerry tyler aaron jose adam nathan henry douglas zachary peter kyle noah ethan jeremy walter
christian keith roger terry austin sean gerald carl harold dylan arthur lawrence jordan jesse bryan billy bruce
gabriel joe logan alan juan albert willie elijah wayne randy vincent mason roy ralph bobby russell bradley
philip eugene louis liam lucas oliver oscar leo max felix hugo simon martin victor ivan igor oleg sergei dmitri
pavel jan jens lars erik nils anders bjorn karl hans klaus jurgen wolfgang dieter pierre jean jacques luc marc
antoine francois julien mathieu giovanni marco luca matteo paolo antonio carlos luis miguel pedro jorge diego
pablo manuel rafael fernando ricardo eduardo javier alejandro mohammed muhammad mohamed ahmed ali omar hassan
hussein ibrahim yusuf khalid abdul raj amit rahul vijay sanjay arjun ravi anil kumar hiroshi takashi kenji akira
satoshi filip tomas jakub ondrej petr milan zoran dragan goran marek piotr pawel andrzej janos laszlo istvan
gabor ferenc mikael johan emil magnus olav harry charlie alfie toby callum craig stuart graham nigel trevor
clive derek geoffrey ian neil barry colin hugh duncan malcolm angus fergus declan finn connor seamus patrick
mary patricia jennifer linda elizabeth barbara susan jessica sarah karen lisa nancy betty margaret sandra ashley
kimberly emily donna michelle carol amanda dorothy melissa deborah stephanie rebecca sharon laura cynthia
kathleen amy angela shirley anna brenda pamela emma nicole helen samantha katherine christine debra rachel
carolyn janet catherine maria heather diane ruth julie olivia joyce virginia victoria kelly lauren christina
joan evelyn judith megan andrea cheryl hannah jacqueline martha gloria teresa ann sara madison frances kathryn
janice jean abigail alice julia judy sophia grace denise amber doris marilyn danielle beverly isabella theresa
diana natalie brittany charlotte marie kayla alexis lori alexandra tiffany kendra kristin kristen shelby colleen
lily lilly chloe zoe lucy ella ava mia eva nora clara rosa elena irene ingrid astrid freya greta heidi petra
monika katarina svetlana olga tatiana natasha irina ludmila yulia anastasia ekaterina sofia giulia chiara
francesca lucia carmen isabel ana beatriz camila valentina gabriela fatima aisha maryam layla zainab priya
anjali deepa sunita kavita lakshmi yuki sakura haruka yoko akiko mei ling fiona sheila bridget maeve siobhan
niamh aoife gemma claire hazel joanne lynne tracy tracey wendy yvonne zara poppy daisy ivy rose ruby sienna
phoebe imogen harriet georgia francesca eleanor beatrice desmond dustin curtis jonas roland arne brent chad
clifford dale darren dean derrick edgar edwin elias ernest floyd franklin fred gilbert glenn gordon guy harvey
herbert herman howard isaac ivan jay jeff jim jimmy johnny jon julian karl ken kirk kurt lance leon leonard
leroy leslie lester lewis lloyd marcus mario marvin maurice melvin milton mitchell morris nelson norman oscar
perry ramon ray rick rodney ronnie ross ruben sam sidney stanley steve ted theodore todd tom tommy tony travis
troy vernon wallace warren wesley zach agnes alma anita annette annie arlene audrey becky bernice bertha bessie
bonnie carla carmen caroline cassandra cindy connie crystal dana delores edith edna eileen elaine ellen elsie
erica erin esther ethel eva felicia florence geraldine gertrude gina gladys glenda gwen holly ida jane janie
jeanette jeanne jenny jill jo joann josephine juanita kathy katie kim kristina laurie leah lena loretta lorraine
louise lucille lydia lynn mabel marcia marjorie marlene maureen maxine melanie mildred minnie miriam molly
monica myrtle naomi nellie norma pauline peggy phyllis priscilla ramona regina renee rhonda rita roberta robin
rosemary roxanne sally shannon sherry sonia stacy stella sue suzanne sylvia tamara tanya tara thelma tina tracie
vanessa velma vera veronica vicki viola vivian wanda wilma yolanda bob bill dave mike chris nick alex ben dan
matt rob pete greg jake luke evan seth caleb owen cole blake chase hunter trevor wyatt carter hayden landon
gavin xavier adrian dominic brendan garrett sebastian damian mateo nico rita marisol rafaela honoré jakobine
sumaya ines pilar dolores mercedes consuelo esperanza guadalupe
""")
)
LAST = frozenset(
    words("""
smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson
anderson thomas taylor moore jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson
walker young allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell
mitchell carter roberts gomez phillips evans turner diaz parker cruz edwards collins reyes stewart morris
morales murphy cook rogers gutierrez ortiz morgan cooper peterson bailey reed kelly howard ramos kim cox ward
richardson watson brooks chavez wood james bennett gray mendoza ruiz hughes price alvarez castillo sanders patel
myers long ross foster jimenez powell jenkins perry russell sullivan bell coleman butler henderson barnes
gonzales fisher vasquez simmons jordan patterson alexander hamilton graham reynolds griffin wallace moreno west
cole hayes bryant herrera gibson ellis tran medina aguilar stevens murray ford castro marshall owens harrison
fernandez mcdonald woods washington kennedy wells vargas henry chen freeman webb tucker guzman burns crawford
olson simpson porter hunter gordon mendez silva shaw snyder mason dixon munoz hunt hicks holmes palmer wagner
black robertson boyd stone salazar fox warren mills meyer rice schmidt garza daniels ferguson nichols stephens
soto weaver ryan gardner payne grant dunn kelley spencer hawkins arnold pierce hansen peters santos hart bradley
knight elliott cunningham duncan armstrong hudson carroll lane riley andrews alvarado ray delgado berry perkins
hoffman johnston matthews pena richards contreras willis carpenter lawrence sandoval wang li zhang liu chen yang
huang zhao wu zhou xu sun ma zhu hu guo lin he gao singh khan kumar ahmed ali hussain müller schneider fischer
weber becker schulz koch bauer richter klein wolf jensen nielsen hansen pedersen andersen christensen larsen
sorensen johansson karlsson nilsson eriksson larsson olsson persson svensson ivanov petrov novak horvat kowalski
rossi russo ferrari bianchi dubois durand leroy moreau laurent
""")
)
